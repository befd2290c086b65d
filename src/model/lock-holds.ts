// Who held locks while others waited: keeps the sampled waits of one source one by one, with the owners that their waiters read,
// and what threads did on and off a CPU. From these the chain of owners, what each of them cost the waiters, and the times in
// which one thread kept others waiting at a user lock for long.
import { OFFCPU_STATES, type SampleColumns, SampleFlag } from "../capture/binding.js";
import { type LockSource, OWNERS_OF } from "../capture/sample-sources.js";
import { KeptTimes } from "./kept-times.js";
import { type Tenure, tenuresOf } from "./lock-chain.js";
import type { LockObjects } from "./lock-objects.js";
import { OwnTimes, type OwnWait, ownWaitOf, packedState } from "./own-times.js";
import { NO_LOCK } from "./profile.js";
import type { WeightAccumulator } from "./weights.js";

/** A time in which one thread had a lock that others waited for. Threads and stacks are those of the capture. */
export interface LockHold {
  readonly lock: number;
  readonly thread: number;
  /** As far as others waited, ns: from the first wait in it, or from when it got the lock, to the next hand that took it. */
  readonly lengthNs: number;
  /** Threads that waited at its end, as far as their waits were sampled. */
  readonly waiters: number;
  /** Waiting of these together in that time, ns. */
  readonly waitedNs: number;
  /** Whether no sampled wait of the owner's own lies in that time. */
  readonly neverOffCpu: boolean;
  /** The owner's own sampled off-CPU time in that time, by weight, ns; null where it was not recorded or not kept. */
  readonly offCpuNs: number | null;
  /** CPU samples of the owner in that time; null where CPU time was not recorded or not kept. */
  readonly cpu:
    | readonly { readonly stack: number; readonly variant: number; readonly weightNs: number }[]
    | null;
}

/** ns. Shorter ones are how locks are used. */
const MIN_HOLD_NS = 50e6;
/** Waits, owners that were read, CPU samples and own waits, of each so many, 37 bytes each. */
const MAX_KEPT = 1 << 20;
const RUNNING = OFFCPU_STATES.indexOf("none");
const NO_WAIT: OwnWait = { stack: 0, variant: 0, state: RUNNING, syscall: -1 };
const NOT_TAKEN = SampleFlag.inProgress | SampleFlag.givenUp;

export class LockHolds {
  readonly #source: LockSource;
  /** key = lock, thread = who waits, extra = 1 where the wait's end is no hand-over. */
  readonly #waits: KeptTimes;
  /** Times of the wait: key = lock, thread = the owner that was read; its stack, system call and state, where it was off the CPU. */
  readonly #read: KeptTimes;
  readonly #own: OwnTimes;
  #tenures: readonly Tenure[] | undefined;

  constructor(source: LockSource, maxKept = MAX_KEPT) {
    this.#source = source;
    this.#waits = new KeptTimes(maxKept);
    this.#read = new KeptTimes(maxKept);
    this.#own = new OwnTimes(maxKept);
  }

  /** Adds a batch's samples, of whichever source; those with impossible times are passed over. */
  addColumns(columns: SampleColumns): void {
    if (columns.source === this.#source) addWaits(this.#waits, columns, waitOf);
    else if (columns.source === OWNERS_OF[this.#source]) addWaits(this.#read, columns, ownerOf);
    if (this.#source === "futex") this.#own.addColumns(columns);
  }

  /** Samples that found no room: of later waits the owners are not known, or not what they did. */
  get leftOut(): number {
    return this.#waits.leftOut + this.#read.leftOut + this.#own.leftOut;
  }

  /** Sums up what each owner cost the waiters, each with the stack in which it was off the CPU itself. */
  chargeOwners(objects: LockObjects, into: WeightAccumulator): void {
    const tenures = this.#chain(objects);
    const waits = this.#own.waitsOf(new Set(tenures.map(({ holder }) => holder)));
    for (const tenure of tenures) {
      const own = waits.longestIn(tenure.holder, tenure.from, tenure.to) ?? this.#asRead(tenure);
      into.addSum({
        ...own,
        ...{ thread: tenure.holder, lock: tenure.lock },
        ...{ weightNs: tenure.weightNs, varianceNs2: tenure.varianceNs2, maxNs: tenure.longestNs },
        ...{ samples: tenure.samples, waits: tenure.waits },
      });
    }
  }

  /** The holds of 50 ms and longer, by lock. The flags say which sources the recording has. */
  holds(objects: LockObjects, cpuRecorded: boolean, offCpuRecorded = false): LockHold[] {
    const long = this.#chain(objects).filter(({ from, to }) => to - from >= MIN_HOLD_NS);
    const holders = new Set(long.map(({ holder }) => holder));
    const waits = this.#own.waitsOf(holders);
    const samples = this.#own.cpuOf(holders);
    return long.map((tenure) => {
      const { lock, holder, from, to, waiters, waitedNs } = tenure;
      const offKnown = waits.known(holder, from, to, offCpuRecorded);
      // An owner that was read had its own waits looked for in the whole wait; of one that ended later they say nothing.
      const looked = offKnown || (tenure.read >= 0 && this.#read.to(tenure.read) <= to);
      const seenOff =
        waits.longestIn(holder, from, to) !== undefined || this.#asRead(tenure).state !== RUNNING;
      return {
        ...{ lock, thread: holder, lengthNs: to - from, waiters, waitedNs },
        neverOffCpu: looked && !seenOff,
        offCpuNs: offKnown ? waits.sumIn(holder, from, to) : null,
        cpu: cpuRecorded && samples.knownUntil(to) ? samples.in(holder, from, to) : null,
      };
    });
  }

  #chain(objects: LockObjects): readonly Tenure[] {
    this.#tenures ??= this.#chains(objects);
    return this.#tenures;
  }

  #chains({ objectOf, isShared }: LockObjects): Tenure[] {
    const waits = this.#waits;
    const rowsOf = waits.rowsByKey(objectOf);
    return [...this.#read.rowsByKey(objectOf)].flatMap(([object, readRows]) => {
      const rows = rowsOf.get(object);
      if (rows === undefined) return [];
      return tenuresOf({
        ...{ waits, rows, read: this.#read, readRows },
        inVain: (row) => waits.extra(row) !== 0,
        shares: (row) => isShared(waits.key(row)),
        knownUntilNs: Math.min(waits.knownUntilNs, this.#read.knownUntilNs),
      });
    });
  }

  /** What came with the owner that was read: of a kernel lock at that time, of a futex the longest own wait in the whole wait. */
  #asRead({ read, readWithStack, to }: Tenure): OwnWait {
    const row = this.#source === "locks" ? readWithStack : read;
    if (row < 0 || (this.#source === "futex" && this.#read.to(row) > to)) return NO_WAIT;
    return ownWaitOf(this.#read, row);
  }
}

/** @param extra of a row: 1 where the wait's end is no hand-over, or what the owner did */
function addWaits(
  kept: KeptTimes,
  columns: SampleColumns,
  extra: (columns: SampleColumns, i: number) => number,
): void {
  const { lock, timeNs, durationNs, weightNs, thread, stack, state, syscall, flags, count } = columns;
  if (lock === undefined) return;
  const all = [lock, timeNs, durationNs, weightNs, thread, stack, state, syscall, flags];
  const rows = Math.min(count, ...all.map((column) => column.length));
  for (let i = 0; i < rows; i++) {
    if (lock[i] === NO_LOCK) continue;
    kept.add(timeNs[i]! - durationNs[i]!, durationNs[i]!, {
      ...{ key: lock[i]!, thread: thread[i]!, stack: stack[i]!, syscall: syscall[i]! },
      ...{ extra: extra(columns, i), scale: weightNs[i]! / durationNs[i]! },
    });
  }
}

const waitOf = ({ flags }: SampleColumns, i: number): number => ((flags[i]! & NOT_TAKEN) === 0 ? 0 : 1);
const ownerOf = ({ state, flags }: SampleColumns, i: number): number => packedState(state[i]!, flags[i]!);
