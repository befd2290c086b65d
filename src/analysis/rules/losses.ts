// What the recording itself is not sure of: events lost, user stacks that ended early.

import { hasOwnStacks } from "../../capture/sample-sources.js";
import type { Profile } from "../../model/profile.js";
import { TRUNCATED as TRUNCATED_ROOT } from "../../model/stack-merge.js";
import { ratio } from "../../model/units.js";
import { userStackEnd } from "../../model/user-stacks.js";
import { processName, Tally } from "../cpu-time.js";
import { WHOLE_EVENTS } from "../event-losses.js";
import type { Finding } from "../finding.js";
import { percent, shown } from "../text.js";
import { LOSSES, TRUNCATED } from "../thresholds.js";

/** One finding for all losses that matter together. */
export function losses(profile: Profile): Finding[] {
  const rows = (profile.final?.losses ?? []).filter((row) => row.count > 0 && WHOLE_EVENTS.test(row.id));
  const lost = rows.reduce((sum, row) => sum + row.count, 0);
  let kept = 0;
  for (const table of profile.weights) for (let i = 0; i < table.count; i++) kept += table.samples[i]!;
  for (const { count } of profile.final?.callTotals ?? []) kept += count;
  const share = lost / Math.max(1, lost + kept);
  if (share < LOSSES.info) return [];
  rows.sort((a, c) => c.count - a.count);
  const first = rows[0]!;
  return [
    {
      rule: "losses",
      severity: share >= LOSSES.warning ? "warning" : "info",
      title: `${percent(share)} of the events were lost, most of them as ${first.id}`,
      detail: `${lost} events were lost and ${kept} kept, so shares and totals are too small where they are missing. ${shown(first.meaning)}`,
      share: ratio(share),
      culprit: first.id,
      contributors: rows
        .slice(0, 6)
        .map((row) => ({ name: `${row.id}: ${row.count}`, share: ratio(row.count / (lost + kept)) })),
      next: [
        `lowflame record -F ${Math.max(1, Math.floor(profile.facts.frequencyHz / 2))} --what cpu    # fewer events`,
        "lowflame record --pid PID    # or only the process in question",
      ],
    },
  ];
}

/** User stacks that ended early, with the processes that they are of. */
export function truncatedStacks(profile: Profile): Finding[] {
  const { total, truncated } = profile.userStacks;
  const share = truncated / Math.max(1, total);
  if (total < TRUNCATED.minSamples || share < TRUNCATED.info) return [];
  const { tree, functions } = profile;
  const below = new Uint8Array(tree.count);
  const processes = new Tally();
  for (let node = 1; node < tree.count; node++) {
    const parent = tree.parent[node]!;
    const marked = parent === 0 && functions.name[tree.func[node]!] === TRUNCATED_ROOT;
    below[node] = marked ? 1 : below[parent]!;
  }
  const recorded = profile.weights.map(({ source }) => source);
  for (const table of profile.weights.filter(({ source }) => hasOwnStacks(source, recorded)))
    for (let row = 0; row < table.count; row++)
      if (below[table.node[row]!] === 1)
        processes.add(processName(profile, table.thread[row]!), table.samples[row]!);
  for (const { node, thread } of [...profile.calls, ...profile.spins])
    if (below[node] === 1) processes.add(processName(profile, thread), 1);
  const [first] = processes.top(1);
  const unwound = profile.final?.userStacks !== undefined;
  const why = unwound
    ? "They were walked by unwind tables: on the way lay code that has none and keeps no frame pointer, or whose table was not loaded."
    : "They were walked by frame pointer, which most programs are built without.";
  const reasons = (unwound ? profile.userStacks.cutPrograms : [])
    .slice(0, 6)
    .map(({ name, end, count }) => `${shown(name)}: ${userStackEnd(end)} (${count})`);
  const most = reasons.length === 0 ? "" : ` Most often: ${reasons.join(", ")}.`;
  return [
    {
      rule: "user-stacks-truncated",
      severity: "info",
      title: `${percent(share)} of the user stacks end early, most of them of ${first?.name ?? "[unknown]"}`,
      detail: `${truncated} of ${total} user stacks do not reach the start of their thread and hang below [truncated]. The functions shown are right, but callers are missing. ${why}${most}`,
      share: ratio(share),
      ...(first === undefined ? {} : { culprit: first.name }),
      contributors: processes.top(6).map(({ name, amount }) => ({ name, share: ratio(amount / total) })),
      next: [
        unwound
          ? "lowflame record --json    # userStacks.walks says what cut them short"
          : "lowflame record --user-stacks unwind",
      ],
      search: "[truncated]",
    },
  ];
}
