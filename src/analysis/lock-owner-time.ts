// Whether the owner of a user lock can have been off the CPU for half of a wait for it: by all of its own waits and its CPU
// time, as far as they were recorded. A capture has sums of the whole recording, so what is found is the most that it can
// have been. Only what speaks against it counts: recording more sources takes no finding away for want of samples. Of a
// capture that was cut it is not known how much no sample saw: there the owner's own samples have to show it.
import { OFFCPU_STATES } from "../capture/binding.js";
import type { Profile, WeightTable } from "../model/profile.js";
import { syscallName } from "../model/syscalls.js";
import { conditionLocks } from "./futex-conditions.js";
import { EVENTS_CALL } from "./idle-pools.js";
import { HELD_RUNNING } from "./thresholds.js";

const PREEMPTED = OFFCPU_STATES.indexOf("preempted");
export const FUTEX_CALL = /^futex(?:_|$)/;
/** Of a sum of samples: 95 of 100 lie so many standard deviations around it. */
const DEVIATIONS = 1.96;
/** Of something that no sample has seen there are with 95 % no more than three times what one sample stands for. */
export const UNSEEN = 3;

type Rows = ReadonlyMap<number, readonly number[]>;

export class LockOwnerTime {
  readonly #profile: Profile;
  readonly #owners: WeightTable;
  readonly #conditions: ReadonlySet<number>;
  readonly #tables = new Map<WeightTable["source"], { table: WeightTable; rows: Rows }>();

  constructor(profile: Profile, owners: WeightTable) {
    this.#profile = profile;
    this.#owners = owners;
    this.#conditions = conditionLocks(profile);
    const threads = new Set(owners.thread.subarray(0, owners.count));
    for (const table of profile.weights)
      if (table.source === "cpu" || table.source === "offcpu" || table.source === "futex")
        this.#tables.set(table.source, { table, rows: rowsOf(table, threads) });
  }

  /** @param row of the table of owners: a wait whose owner's longest own wait meanwhile is known */
  sleptMeanwhile(row: number): boolean {
    const { durationNs, facts } = this.#profile;
    const thread = this.#owners.thread[row]!;
    const waitNs = this.#owners.maxNs[row]!;
    const half = waitNs / 2;
    const meanwhile = this.#inItsTime(row);
    if (meanwhile !== undefined) return meanwhile;
    const ran = facts.sources.includes("cpu") ? this.#sum("cpu", thread).weightNs : undefined;
    if (ran !== undefined) {
      const slackNs = (UNSEEN * 1e9) / Math.max(1, facts.frequencyHz);
      if (ran + slackNs <= waitNs - half) return true;
      if (durationNs - ran + slackNs < half) return false;
    }
    const asFutexTells = this.#inFutexes(row);
    if (asFutexTells !== undefined && asFutexTells >= half) return true;
    if (!facts.sources.includes("offcpu")) return asFutexTells === undefined;
    return this.#mostOffCpu(row, ran) >= half;
  }

  /**
   * What the owner's samples in that very time say, where they were recorded and kept. Undefined: sums have to tell. The row
   * has the longest part of a wait in which this owner had the lock: a hold that is as long may be the one, give or take the
   * waiter's way to the lock.
   */
  #inItsTime(row: number): boolean | undefined {
    const { heldLocks, final, durationNs, threads } = this.#profile;
    const thread = this.#owners.thread[row]!;
    const waitNs = this.#owners.maxNs[row]!;
    const holds = heldLocks.filter(
      (hold) =>
        hold.thread === thread && hold.lock === this.#owners.lock![row] && hold.lengthNs >= 0.9 * waitNs,
    );
    if (holds.length === 0) return undefined;
    // Of a sleeper that was woken and has no CPU yet the run queue knows: of its process, all the time, and the longest.
    const process = threads[thread]?.process;
    let queuedNs = 0;
    let longestNs = 0;
    for (const each of final?.runQueue ?? []) {
      if (each.process !== process && each.process !== -1) continue;
      queuedNs += each.sumNs;
      longestNs = Math.max(longestNs, each.maxNs);
    }
    let known = true;
    for (const { lengthNs, offCpuNs, cpu } of holds) {
      const ranNs = cpu === null ? 0 : cpu.reduce((sum, { weightNs }) => sum + weightNs, 0);
      if (cpu !== null && cpu.length >= HELD_RUNNING.minSamples && ranNs * 2 >= lengthNs) continue;
      if (offCpuNs === null) {
        known = false;
        continue;
      }
      const share = Math.min(1, lengthNs / Math.max(1, durationNs));
      const unseenNs = Math.max(longestNs, queuedNs * share) + UNSEEN * (final?.offcpuThresholdMaxNs ?? 0);
      if (offCpuNs + unseenNs >= lengthNs / 2) return true;
    }
    return known ? false : undefined;
  }

  /** What waits for futexes alone say: their sum, undefined where the owner was off the CPU for something else. */
  #inFutexes(row: number): number | undefined {
    const { [row]: state } = this.#owners.state; // preempted on the way out of such a call it does not wait in it
    if (state === PREEMPTED || !FUTEX_CALL.test(this.#call(this.#owners.syscall[row]!))) return undefined;
    const thread = this.#owners.thread[row]!;
    if (!this.#tables.get("futex")?.rows.has(thread)) return undefined;
    return this.#sum("futex", thread).weightNs;
  }

  /** The most time that the owner can have been off the CPU with the lock held. */
  #mostOffCpu(row: number, ran: number | undefined): number {
    const { final, durationNs, threads } = this.#profile;
    const thread = this.#owners.thread[row]!;
    const seen = this.#seenUnder(row);
    const kinds = this.#sum("offcpu", thread, (table, other) => {
      const { [other]: state } = table.state;
      const { [other]: syscall } = table.syscall;
      if (state === PREEMPTED || seen.has(`${state} ${syscall}`)) return true;
      const call = this.#call(syscall!);
      return !FUTEX_CALL.test(call) && !EVENTS_CALL.test(call); // that is how threads idle
    });
    const locks = this.#sum(
      "futex",
      thread,
      (table, other) =>
        !this.#conditions.has(table.lock![other]!) &&
        !seen.has(`${table.state[other]} ${table.syscall[other]}`),
    );
    // A sleeper that was woken and has no CPU yet is in no sample: the run queue knows it, of the process as a whole.
    const process = threads[thread]?.process;
    let queuedNs = 0;
    for (const each of final?.runQueue ?? [])
      if (each.process === process || each.process === -1) queuedNs += each.sumNs;
    if (ran !== undefined) {
      const leftNs = durationNs - ran - this.#sum("offcpu", thread).weightNs;
      queuedNs = Math.min(queuedNs, Math.max(0, leftNs));
    }
    return (
      kinds.weightNs +
      locks.weightNs +
      queuedNs +
      DEVIATIONS * Math.sqrt(kinds.varianceNs2 + locks.varianceNs2) +
      UNSEEN * (final?.offcpuThresholdMaxNs ?? 0)
    );
  }

  /** What this owner was seen off the CPU for while others waited for this lock. */
  #seenUnder(row: number): ReadonlySet<string> {
    const { thread, lock, state, syscall, count } = this.#owners;
    const seen = new Set<string>();
    for (let other = 0; other < count; other++)
      if (thread[other] === thread[row] && lock![other] === lock![row])
        seen.add(`${state[other]} ${syscall[other]}`);
    return seen;
  }

  #sum(
    source: "cpu" | "offcpu" | "futex",
    thread: number,
    counts: (table: WeightTable, row: number) => boolean = () => true,
  ): { weightNs: number; varianceNs2: number } {
    const sum = { weightNs: 0, varianceNs2: 0 };
    const known = this.#tables.get(source);
    for (const row of known?.rows.get(thread) ?? []) {
      if (!counts(known!.table, row)) continue;
      sum.weightNs += known!.table.weightNs[row]!;
      sum.varianceNs2 += known!.table.varianceNs2[row]!;
    }
    return sum;
  }

  #call(syscall: number): string {
    return syscall < 0 ? "" : (syscallName(this.#profile.facts.host.arch, syscall) ?? "");
  }
}

function rowsOf({ thread, count }: WeightTable, wanted: ReadonlySet<number>): Rows {
  const rows = new Map<number, number[]>();
  for (let row = 0; row < count; row++) {
    if (!wanted.has(thread[row]!)) continue;
    const known = rows.get(thread[row]!);
    if (known === undefined) rows.set(thread[row]!, [row]);
    else known.push(row);
  }
  return rows;
}
