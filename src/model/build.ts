// Capture events in, profile out. Streams: memory grows with distinct stacks, threads and names, not with samples.
// Names may come after the samples they belong to, so functions are made at the end.
import type { FinalFacts, LockTotal, SampleColumns, SampleSource, StartFacts } from "../capture/binding.js";
import type { CaptureEvent } from "../capture/events.js";
import { hasOwnStacks, LOCK_SOURCES, OWNERS_OF, SAMPLE_SOURCES } from "../capture/sample-sources.js";
import { Accounts } from "./accounts.js";
import { FrameTable } from "./frame-table.js";
import { FrameTree } from "./frame-tree.js";
import { FunctionInterner } from "./function-table.js";
import { InvalidCounts } from "./invalid.js";
import { LineInterner } from "./line-table.js";
import { LockHolds } from "./lock-holds.js";
import { withProcessNames } from "./lock-names.js";
import { type LockObjects, lockObjects } from "./lock-objects.js";
import { lockScales, scaleLocks } from "./lock-scale.js";
import { type HeldLock, NO_LOCK, type Profile, type RecordingFacts, type WeightTable } from "./profile.js";
import { SocketRows } from "./socket-rows.js";
import { checkedTotals } from "./socket-totals.js";
import { StackMerger } from "./stack-merge.js";
import { ns } from "./units.js";
import { UserStackCounter } from "./user-stacks.js";
import { WaitOverlap } from "./wait-overlap.js";
import { MAX_ROWS, NO_THREAD, WeightAccumulator } from "./weights.js";

export interface ProfileBuilderOptions {
  /** Rows of weights a source may have before the rest goes into "[other]". */
  readonly maxRows?: number;
}

export class ProfileBuilder {
  readonly #frames = new FrameTable();
  readonly #stacks = new FrameTree();
  readonly #accounts = new Accounts();
  readonly #invalid = new InvalidCounts();
  readonly #weights = new Map<SampleSource, WeightAccumulator>();
  readonly #overlap = new WaitOverlap();
  readonly #holds = { locks: new LockHolds("locks"), futex: new LockHolds("futex") };
  readonly #sockets = new SocketRows();
  readonly #notes: string[] = [];
  readonly #maxRows: number;
  #facts: Omit<RecordingFacts, "endReason"> | undefined;
  #start: StartFacts | undefined;
  #final: FinalFacts | null = null;
  #endReason: string | undefined;
  #damage: string | undefined;

  constructor(options: ProfileBuilderOptions = {}) {
    this.#maxRows = options.maxRows ?? MAX_ROWS;
  }

  /** Takes the next event. Events may come in any order that a capture can have; damage is remembered, not thrown. */
  add(event: CaptureEvent): void {
    switch (event.type) {
      case "header":
        if (this.#start !== undefined) {
          this.#notes.push("The capture has a second header, which was ignored: two captures in one file?");
          return;
        }
        this.#facts = event.facts;
        this.#start = event.start;
        this.#notes.push(...event.start.notes);
        return;
      case "batch": {
        const { tables, samples } = event.batch;
        this.#accounts.addProcesses(tables.processes, this.#invalid);
        this.#accounts.addThreads(tables.threads, this.#invalid);
        this.#frames.addModules(tables.modules, this.#invalid);
        this.#frames.addFrames(tables.frames, this.#invalid);
        this.#stacks.add(tables.stacks, this.#invalid);
        this.#frames.addNames(tables.names, this.#invalid);
        this.#frames.addSources(tables.sources ?? [], this.#invalid);
        this.#accounts.addLocks(tables.locks, this.#invalid);
        this.#sockets.add(tables, this.#invalid);
        for (const columns of samples) this.#addSamples(columns);
        return;
      }
      case "end":
        this.#final = event.final;
        this.#endReason = event.endReason;
        return;
      case "damage":
        this.#damage ??= event.message;
        this.#notes.push(`The capture is not whole: ${event.message}`);
        return;
    }
  }

  /**
   * The profile of all that was added. Throws a one-sentence Error when no header came: without it nothing is known
   * about the machine or the time.
   */
  build(): Profile {
    if (this.#start === undefined || this.#facts === undefined)
      throw new Error(
        `The capture has no header${this.#damage === undefined ? "" : ` (${this.#damage})`}: nothing in it can be read; record again.`,
      );
    const functions = new FunctionInterner(this.#frames.count);
    const lines = new LineInterner();
    const merger = new StackMerger(this.#frames, this.#stacks, functions, lines);
    const { processes, threads, unknownThread } = this.#accounts.build(this.#invalid);
    const knownThreads = threads.length;
    const locks = withProcessNames(this.#accounts.locks());
    const objects = lockObjects(locks);
    for (const source of LOCK_SOURCES) {
      const owners = this.#weights.get(OWNERS_OF[source]);
      if (owners !== undefined) this.#holds[source].chargeOwners(objects, owners);
    }
    const userStacks = new UserStackCounter();
    const notes = [...this.#notes];
    const weights: WeightTable[] = [];
    let lastTimeNs = 0;

    for (const source of SAMPLE_SOURCES) {
      const raw = this.#weights.get(source);
      if (raw === undefined) continue;
      const own = hasOwnStacks(source, [...this.#weights.keys()]);
      const merged = new WeightAccumulator(source, Number.POSITIVE_INFINITY);
      for (let row = 0; row < raw.rows; row++) {
        const samples = raw.samples[row]!;
        let thread = raw.thread[row]!;
        if (thread === NO_THREAD) {
          merged.addRow(raw, row, unknownThread(), merger.other(), NO_LOCK);
          continue;
        }
        if (thread >= knownThreads || threads[thread] === undefined) {
          this.#invalid.add("threads", samples);
          thread = unknownThread();
        }
        const stack = merger.find(raw.stack[row]!, raw.variant[row]!);
        if (!stack.known) this.#invalid.add("stacks", samples);
        if (own) userStacks.add(source, threads[thread]?.process ?? -1, stack, samples);
        let lock = raw.lock?.[row] ?? NO_LOCK;
        if (lock !== NO_LOCK && locks[lock] === undefined) {
          this.#invalid.add("locks", samples);
          lock = NO_LOCK;
        }
        merged.addRow(raw, row, thread, stack.node, lock);
      }
      if (raw.overflowed > 0)
        notes.push(
          `${raw.overflowed} ${source} samples had a stack too many and are shown as [other]: narrow the recording with --pid, --comm or --cgroup.`,
        );
      lastTimeNs = Math.max(lastTimeNs, raw.lastTimeNs);
      weights.push(weightTable(merged));
    }

    if (this.#final !== null) this.#scaleLocks(weights, this.#final.lockTotals);
    const known = (thread: number): boolean => thread < knownThreads && threads[thread] !== undefined;
    const isKnown = (lock: number, thread: number) => locks[lock] !== undefined && known(thread);
    const heldLocks = this.#heldLocks(merger, objects, isKnown);
    const leftOut = this.#holds.locks.leftOut + this.#holds.futex.leftOut;
    if (leftOut > 0)
      notes.push(
        `${leftOut} samples came too late to be looked through for who held a lock meanwhile: of waits from then on the owners are not known. All are in the totals.`,
      );
    const sockets = this.#sockets.build(
      merger,
      { known, unknown: unknownThread },
      (thread, stack) => userStacks.add("sockets", threads[thread]?.process ?? -1, stack, 1),
      this.#invalid,
    );
    notes.push(...sockets.notes);
    if (sockets.spinsLeftOut > 0)
      notes.push(
        `${sockets.spinsLeftOut} stacks of calls that found nothing to do are not kept, the last ones are. All calls are in the totals.`,
      );
    lastTimeNs = Math.max(lastTimeNs, sockets.lastTimeNs);
    const { endpoints } = sockets;
    const final = this.#final && checkedTotals(this.#final, { processes, endpoints }, this.#invalid);
    const lineTable = lines.table();
    const invalid = this.#invalid.note();
    if (invalid !== undefined) notes.push(invalid);
    if (final === null && this.#damage === undefined)
      notes.push(
        "The capture has no end: the recording was killed, or the file was cut. What came before is shown.",
      );
    return {
      facts: {
        ...this.#facts,
        endReason: this.#endReason ?? `truncated: ${this.#damage ?? "no end in the capture"}`,
      },
      start: this.#start,
      final,
      durationNs: ns(
        final === null ? lastTimeNs : Number(final.endMonotonicNs - this.#start.startMonotonicNs),
      ),
      processes,
      threads,
      locks,
      waitersAtOnce: this.#overlap.mostAtOnce(),
      heldLocks,
      endpoints,
      calls: sockets.calls,
      spins: sockets.spins,
      socketCounts: sockets.socketCounts,
      functions: functions.table(),
      tree: merger.tree(),
      ...(lineTable && { lines: lineTable }),
      weights,
      userStacks: userStacks.counts(processes),
      notes,
    };
  }

  #addSamples(columns: SampleColumns): void {
    const { source } = columns;
    const futexes = this.#recorded("futex");
    if (source === "locks" || source === "lock-owners") this.#holds.locks.addColumns(columns);
    else if (futexes || source === "futex" || source === "futex-owners")
      this.#holds.futex.addColumns(columns);
    if (source === "futex") this.#overlap.addColumns(columns);
    // what an owner costs is summed up at the end, when all hands are known through which a lock went
    if (source === "lock-owners" || source === "futex-owners") this.#source(source);
    // waits of owners alone come without the source, to tell what they were off the CPU for
    else if (source !== "offcpu" || !futexes || this.#recorded("offcpu"))
      this.#source(source).addColumns(columns, this.#invalid);
  }

  #heldLocks(
    merger: StackMerger,
    objects: LockObjects,
    known: (lock: number, thread: number) => boolean,
  ): HeldLock[] {
    return this.#holds.futex
      .holds(objects, this.#recorded("cpu"), this.#recorded("offcpu"))
      .filter(({ lock, thread }) => known(lock, thread))
      .map(({ lengthNs, waitedNs, cpu, ...rest }) => ({
        ...rest,
        lengthNs: ns(lengthNs),
        waitedNs: ns(waitedNs),
        cpu:
          cpu?.map(({ stack, variant, weightNs }) => ({
            node: merger.find(stack, variant).node,
            weightNs,
          })) ?? null,
      }));
  }

  #recorded(source: SampleSource): boolean {
    return this.#facts?.sources.some((each) => each === source) === true;
  }

  /** Waits to the exact totals of their lock, and with the same factors the owners that go with them. */
  #scaleLocks(weights: readonly WeightTable[], totals: readonly LockTotal[]): void {
    for (const source of LOCK_SOURCES) {
      const sampled = weights.find((table) => table.source === source);
      if (sampled === undefined) continue;
      const scales = lockScales(sampled, totals);
      for (const table of weights)
        if (table.source === source || table.source === OWNERS_OF[source]) scaleLocks(table, scales);
    }
  }

  #source(source: SampleSource): WeightAccumulator {
    let weights = this.#weights.get(source);
    if (weights === undefined) {
      weights = new WeightAccumulator(source, this.#maxRows);
      this.#weights.set(source, weights);
    }
    return weights;
  }
}

/** Sum of the squared weights of samples that weigh the same: n w² is (n w)² / n. */
function varianceOfEqual({ rows, weightNs, samples }: WeightAccumulator): Float64Array {
  const variance = new Float64Array(rows);
  for (let row = 0; row < rows; row++) variance[row] = weightNs[row]! ** 2 / samples[row]!;
  return variance;
}

function weightTable(rows: WeightAccumulator): WeightTable {
  const count = rows.rows;
  return {
    source: rows.source,
    count,
    thread: rows.thread.slice(0, count),
    node: rows.stack.slice(0, count),
    weightNs: rows.weightNs.slice(0, count),
    samples: rows.samples.slice(0, count),
    maxNs: rows.maxNs.slice(0, count),
    state: rows.state.slice(0, count),
    syscall: rows.syscall.slice(0, count),
    flags: rows.flags.slice(0, count),
    varianceNs2: rows.varianceNs2?.slice(0, count) ?? varianceOfEqual(rows),
    ...(rows.lock && { lock: rows.lock.slice(0, count) }),
    ...(rows.waits && { waits: rows.waits.slice(0, count) }),
  };
}
