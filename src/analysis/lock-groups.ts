// Rows of one lock put together: an rwsem has one for readers and one for writers, a BPF hash map one for each bucket.
import { FIRST_FUTEX_KIND, type LockKind, RUNQUEUE_BUCKETS } from "../capture/binding.js";
import { percentile } from "../model/histogram.js";
import { isOfProcess } from "../model/lock-names.js";
import type { Profile } from "../model/profile.js";
import { ns } from "../model/units.js";
import { Tally } from "./cpu-time.js";
import type { LockSummary } from "./lock-summary.js";

/** Of the recording: from so much waiting on two locks of one name may both have a finding. */
const WORTH_TELLING = 0.01;

/** What one finding is about. Times in ns. */
export interface LockGroup {
  readonly name: string;
  readonly kind: LockKind;
  readonly bpfProgram: string | undefined;
  /** Indexes into Profile.locks. */
  readonly locks: ReadonlySet<number>;
  readonly count: number;
  readonly sumNs: number;
  readonly maxNs: number;
  /** 0 where it is not known. */
  readonly p99Ns: number;
  /** Waits that ended by their timeout; 0 where that is not known. */
  readonly timeouts: number;
  /** The most threads that waited at one time, at least; 0 where that is not known. */
  readonly atOnce: number;
  /** Whether it is a read-write lock of a user program. */
  readonly readWrite: boolean;
  /** Sampled waits with a stack. */
  readonly samples: number;
  /** Process id -> waited ns; -1 = other. */
  readonly waiters: ReadonlyMap<number, number>;
  /** Shares of the sampled waiting, 0 to 1, biggest first. */
  readonly callers: readonly { readonly name: string; readonly share: number }[];
  readonly owners: readonly { readonly name: string; readonly share: number }[];
}

/**
 * Groups by address, futexes by process, too, and bucket locks of BPF maps by program, since keys spread the waits over
 * many buckets. Locks without a row of their own are left out: nothing can be said of them. Longest total first.
 */
export function lockGroups(profile: Profile, summaries: readonly LockSummary[]): LockGroup[] {
  const groups = new Map<string, LockSummary[]>();
  for (const summary of summaries) {
    const row = profile.locks[summary.lock];
    if (row === undefined) continue;
    // The address of a futex is its process's own: forked workers have different locks at the same one.
    // So may a kernel lock's be, of processes that lived one after the other: the lock of one's own has one's name.
    const own = isOfProcess(row.name) ? row.name : "kernel";
    const space = row.kind >= FIRST_FUTEX_KIND ? `process ${summary.waiters[0]?.process}` : own;
    // without an address all that is known is in the name
    const named = summary.bpfProgram !== undefined || row.address === 0n;
    const key = named ? summary.name : `${space} 0x${row.address.toString(16)}`;
    const members = groups.get(key);
    if (members === undefined) groups.set(key, [summary]);
    else members.push(summary);
  }
  return apart(
    [...groups.values()].map(merged).sort((a, c) => c.sumNs - a.sumNs),
    profile,
  );
}

/** Locks of one name have their address in it, where two take long enough to be told: two inodes, two pipes. */
function apart(groups: readonly LockGroup[], { locks, durationNs }: Profile): LockGroup[] {
  const named = new Map<string, number>();
  for (const { name, sumNs } of groups)
    if (sumNs >= durationNs * WORTH_TELLING) named.set(name, (named.get(name) ?? 0) + 1);
  return groups.map((group) => {
    const [lock] = group.locks;
    const address = locks[lock!]?.address ?? 0n;
    if ((named.get(group.name) ?? 0) < 2 || address === 0n || group.bpfProgram !== undefined) return group;
    return { ...group, name: `${group.name} at 0x${address.toString(16)}` };
  });
}

function merged(members: readonly LockSummary[]): LockGroup {
  const first = members[0]!; // they come longest total first
  const buckets = new Array<number>(RUNQUEUE_BUCKETS).fill(0);
  const waiters = new Map<number, number>();
  const callers = new Tally();
  const owners = new Tally();
  let count = 0;
  let sumNs = 0;
  let maxNs = 0;
  let samples = 0;
  let timeouts = 0;
  let atOnce = 0;
  for (const lock of members) {
    count += lock.count;
    sumNs += lock.sumNs;
    maxNs = Math.max(maxNs, lock.maxNs);
    samples += lock.samples;
    timeouts += lock.timeouts ?? 0;
    atOnce = Math.max(atOnce, lock.atOnce ?? 0);
    for (let i = 0; i < RUNQUEUE_BUCKETS; i++) buckets[i]! += lock.buckets[i] ?? 0;
    for (const { process, sumNs: waited } of lock.waiters)
      waiters.set(process, (waiters.get(process) ?? 0) + waited);
    for (const { name, share } of lock.callers) callers.add(name, share * lock.sumNs);
    for (const { name, share } of lock.owners) owners.add(name, share * lock.sumNs);
  }
  const shares = (tally: Tally) =>
    tally.top(6).map(({ name, amount }) => ({ name, share: sumNs > 0 ? amount / sumNs : 0 }));
  return {
    name: first.name,
    kind: first.kind,
    bpfProgram: first.bpfProgram,
    locks: new Set(members.flatMap(({ locks }) => locks)),
    readWrite: members.some(({ readWrite }) => readWrite),
    ...{ count, sumNs, maxNs, timeouts, atOnce, samples, waiters },
    p99Ns: percentile({ buckets, maxNs: ns(maxNs) }, 0.99),
    callers: shares(callers),
    owners: shares(owners),
  };
}
