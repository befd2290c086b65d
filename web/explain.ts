// Sentences about what is and what is not shown, so that an empty or small graph does not leave the reader guessing.
import { LOCK_SOURCES, type LockSource } from "../src/capture/sample-sources.js";
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import { LOCK_WORDS } from "./lock-words.js";
import type { HiddenWeights } from "./selection.js";
import { duration, percent, visible } from "./text.js";

/** Why there is nothing to draw. */
export function emptyReason(report: ReportDocument, source: ReportSource, hidden: HiddenWeights): string {
  const { header } = report;
  const lost = report.losses.reduce((sum, row) => sum + row.count, 0);
  const losses =
    lost > 0 ? ` ${lost.toLocaleString("en-US")} events were lost, though: see the counters at the top.` : "";
  const lock = LOCK_SOURCES.find((each) => each === source.source);
  if (source.node.length > 0) {
    if (source.source === "futex" && hidden.states > 0 && hidden.self + hidden.states === hidden.all)
      return "No wait for a user lock was sampled: all that was seen are condition variables and idle waits, which are left out. Choose one from the list above, or tick them under State.";
    if (hidden.self > 0 && hidden.self + hidden.states === hidden.all) {
      return "Everything that was recorded is lowflame itself or idle kernel threads, which are left out. Choose otherwise above to see them.";
    }
    return "Nothing that was recorded passes the filters above. Choose another process, thread or state.";
  }
  if (header.filters.length > 0) {
    const watched = header.filters.map(visible).join(", ");
    if (lock)
      return `No waits: no thread that matches ${watched} waited for a ${LOCK_WORDS[lock].lock} during these ${duration(header.durationNs)}.${losses}`;
    return source.source === "cpu"
      ? `No samples: nothing that matches ${watched} ran on a CPU during these ${duration(header.durationNs)}.${losses}`
      : `No waits: no thread that matches ${watched} waited during these ${duration(header.durationNs)}.${losses}`;
  }
  if (lock)
    return `No wait for a ${LOCK_WORDS[lock].lock} was sampled in ${duration(header.durationNs)}.${losses}`;
  return source.source === "cpu"
    ? `No samples: the machine was idle for the whole ${duration(header.durationNs)}.${losses}`
    : `No waits were recorded in ${duration(header.durationNs)}.${losses}`;
}

/** Why there is no graph of who held the locks. */
export const noOwners = (source: LockSource): string =>
  `Not known in this recording: of no sampled wait could the owner be read. ${LOCK_WORDS[source].owners}`;

/** Why a chosen lock has no graph although it has waits. */
export function emptyLockReason(source: ReportSource): string {
  const of = { "lock-owners": "locks", "futex-owners": "futex" } as const;
  return source.source === "lock-owners" || source.source === "futex-owners"
    ? `Nobody is known to have held this lock, or the filters above leave them out. ${LOCK_WORDS[of[source.source]].owners}`
    : "No sampled wait for this lock passes the filters above. The table counts every wait, the graphs are made of samples: a lock with few or short waits may have none.";
}

/** What the weight of a graph of waits is. */
const WAITED: Readonly<Record<Exclude<ReportSource["source"], "cpu">, string>> = {
  offcpu: "of waiting, summed over threads",
  locks: "of waiting for kernel locks, summed over threads; where it was spent is known from sampled waits",
  futex: "of waiting, summed over threads; where it was spent is known from sampled waits",
  "lock-owners": "that others waited while these threads held the lock, as far as sampled waits tell",
  "futex-owners": "that others waited while these threads held the lock, as far as sampled waits tell",
};

/** One line: how much is shown, what it is a part of, and what is left out. */
export function hiddenNote(
  report: ReportDocument,
  source: ReportSource,
  hidden: HiddenWeights,
  shown: number,
  omitted: number,
): string {
  const { header } = report;
  const sentences: string[] = [];
  if (source.source === "cpu") {
    const machine = header.durationNs * header.cpus;
    const share = machine > 0 ? ` (${percent(shown / machine)} of ${header.cpus} CPUs)` : "";
    sentences.push(`Shown: ${duration(shown)} of CPU time${share}.`);
    if (hidden.self > 0)
      sentences.push(`lowflame itself took ${duration(hidden.self)}; it is shown only if chosen.`);
  } else {
    sentences.push(`Shown: ${duration(shown)} ${WAITED[source.source]}.`);
    if (hidden.states > 0) {
      sentences.push(
        source.source === "futex"
          ? `Left out unless ticked or chosen from their list: ${duration(hidden.states)} of condition variables and idle waits.`
          : `Left out unless ticked: ${duration(hidden.states)} of kernel threads that were idle or waited for work.`,
      );
    }
    if (hidden.self > 0) sentences.push("lowflame itself is shown only if chosen.");
  }
  if (omitted > 0) {
    sentences.push(
      `${omitted.toLocaleString("en-US")} narrow frames are not drawn, to keep the page quick; zoom in to see them. They count in every number.`,
    );
  }
  return sentences.join(" ");
}
