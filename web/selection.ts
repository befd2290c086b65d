// Which rows of a source count: filters by process, thread, state and lock. Pure; the controls are in filter-controls.ts.
import type { ReportDocument, ReportSource } from "../src/export/html/document.js";

/** `machine` = everything but lowflame itself. */
export type ProcessFilter =
  | { readonly kind: "machine" | "all" | "self" }
  | { readonly kind: "comm"; readonly comm: string }
  | { readonly kind: "process"; readonly process: number };

export type ThreadFilter =
  | { readonly kind: "all" }
  | { readonly kind: "comm"; readonly comm: string }
  | { readonly kind: "thread"; readonly thread: number };

export interface Selection {
  readonly process: ProcessFilter;
  readonly thread: ThreadFilter;
  /** Index = state; true = shown. */
  readonly states: readonly boolean[];
  /** Index into `ReportLocks.rows`; absent = all locks. Only for sources that have locks. */
  readonly lock?: number | undefined;
}

/** What is shown before the reader chooses. */
export function defaultSelection(source: ReportSource): Selection {
  return {
    process: { kind: "machine" },
    thread: { kind: "all" },
    states: source.states.map((_, index) => !source.hiddenStates.includes(index)),
  };
}

function processMatches(document: ReportDocument, process: number, filter: ProcessFilter): boolean {
  const row = document.processes[process];
  switch (filter.kind) {
    case "all":
      return true;
    case "machine":
      return row?.self !== true;
    case "self":
      return row?.self === true;
    case "comm":
      return row?.comm === filter.comm && !row.self;
    case "process":
      return process === filter.process;
  }
}

/** One byte a thread: whether process and thread filter let it through. */
export function matchingThreads(document: ReportDocument, selection: Selection): Uint8Array {
  const processes = document.processes.map((_, index) => processMatches(document, index, selection.process));
  const { thread } = selection;
  return Uint8Array.from(document.threads, (row, index) => {
    if (!processes[row.process]) return 0;
    if (thread.kind === "comm") return row.comm === thread.comm ? 1 : 0;
    if (thread.kind === "thread") return index === thread.thread ? 1 : 0;
    return 1;
  });
}

/** Indexes of the rows that count. */
export function selectRows(
  document: ReportDocument,
  source: ReportSource,
  selection: Selection,
): Uint32Array {
  const threads = matchingThreads(document, selection);
  const rows = new Uint32Array(source.node.length);
  const { lock, states } = selection;
  let count = 0;
  for (let row = 0; row < source.node.length; row++) {
    if (threads[source.thread[row]!] !== 1) continue;
    // A lock that was chosen is shown whatever the state of its waits: who chooses a condition wants to see it.
    const shown = lock === undefined ? states[source.state[row]!] : source.lock?.[row] === lock;
    if (shown) rows[count++] = row;
  }
  return rows.subarray(0, count);
}

/** Process of each thread, as a column: these loops run over a million rows. */
const processOfThread = (document: ReportDocument): Int32Array =>
  Int32Array.from(document.threads, (row) => row.process);

/** Weight of each process in a source, over all states that are shown; index = process. */
export function weightByProcess(document: ReportDocument, source: ReportSource): Float64Array {
  const sums = new Float64Array(document.processes.length);
  const shown = defaultSelection(source).states;
  const processOf = processOfThread(document);
  for (let row = 0; row < source.node.length; row++) {
    const process = processOf[source.thread[row]!]!;
    if (shown[source.state[row]!]) sums[process] = sums[process]! + source.weight[row]!;
  }
  return sums;
}

/** Weights of a source, ns: all, and what the default view leaves out, by reason. */
export interface HiddenWeights {
  readonly all: number;
  readonly self: number;
  readonly states: number;
}

/** Sums up what the default view leaves out. */
export function hiddenWeights(document: ReportDocument, source: ReportSource): HiddenWeights {
  const hidden = source.states.map((_, index) => source.hiddenStates.includes(index));
  const own = Uint8Array.from(document.threads, (row) => (document.processes[row.process]?.self ? 1 : 0));
  let self = 0;
  let states = 0;
  let all = 0;
  for (let row = 0; row < source.node.length; row++) {
    const weight = source.weight[row]!;
    all += weight;
    if (own[source.thread[row]!] === 1) self += weight;
    else if (hidden[source.state[row]!]) states += weight;
  }
  return { all, self, states };
}
