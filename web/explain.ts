// Sentences about what is and what is not shown, so that an empty or small graph does not leave the reader guessing.
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";
import type { HiddenWeights } from "./selection.js";
import { duration, percent, visible } from "./text.js";

/** Why there is nothing to draw. */
export function emptyReason(report: ReportDocument, source: ReportSource, hidden: HiddenWeights): string {
  const { header } = report;
  const lost = report.losses.reduce((sum, row) => sum + row.count, 0);
  const losses =
    lost > 0 ? ` ${lost.toLocaleString("en-US")} events were lost, though: see the counters at the top.` : "";
  if (source.node.length > 0) {
    if (hidden.self > 0 && hidden.self + hidden.states === hidden.all) {
      return "Everything that was recorded is lowflame itself or idle kernel threads, which are left out. Choose otherwise above to see them.";
    }
    return "Nothing that was recorded passes the filters above. Choose another process, thread or state.";
  }
  if (header.filters.length > 0) {
    const watched = header.filters.map(visible).join(", ");
    if (source.source === "locks")
      return `No waits: no thread that matches ${watched} waited for a kernel lock during these ${duration(header.durationNs)}.${losses}`;
    return source.source === "cpu"
      ? `No samples: nothing that matches ${watched} ran on a CPU during these ${duration(header.durationNs)}.${losses}`
      : `No waits: no thread that matches ${watched} waited during these ${duration(header.durationNs)}.${losses}`;
  }
  if (source.source === "locks")
    return `No wait for a kernel lock was sampled in ${duration(header.durationNs)}.${losses}`;
  return source.source === "cpu"
    ? `No samples: the machine was idle for the whole ${duration(header.durationNs)}.${losses}`
    : `No waits were recorded in ${duration(header.durationNs)}.${losses}`;
}

const WITH_OWNERS =
  "The kernel keeps the owner of mutexes and of rwsems taken for writing, not of spin locks, and not every one can be read.";

/** Why there is no graph of who held the locks. */
export const NO_OWNERS = `Not known in this recording: of no sampled wait could the owner be read. ${WITH_OWNERS}`;

/** Why a chosen lock has no graph although it has waits. */
export function emptyLockReason(source: ReportSource): string {
  return source.source === "lock-owners"
    ? `Nobody is known to have held this lock, or the filters above leave them out. ${WITH_OWNERS}`
    : "No sampled wait for this lock passes the filters above. The table counts every wait, the graphs are made of samples: a lock with few or short waits may have none.";
}

/** What the weight of a graph of waits is. */
const WAITED: Readonly<Record<Exclude<ReportSource["source"], "cpu">, string>> = {
  offcpu: "of waiting, summed over threads",
  locks: "of waiting for kernel locks, summed over threads; where it was spent is known from sampled waits",
  "lock-owners": "that others waited while these threads held the lock, as far as sampled waits tell",
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
        `Left out unless ticked: ${duration(hidden.states)} of kernel threads that were idle or waited for work.`,
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
