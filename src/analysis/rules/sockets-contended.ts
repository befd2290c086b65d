// Socket calls that are now and then busy for far longer than usual while the process's other calls are quick, and that are seen to
// spin for locks, by CPU samples or by the kernel's account of its locks: they meet a resource that is contended. A long call alone
// proves nothing: it may send more.
import { bucketBounds } from "../../model/histogram.js";
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import type { CpuTime } from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { notSelf } from "../lock-summary.js";
import { straceCommand } from "../socket-advice.js";
import { callCpu } from "../socket-cpu.js";
import { callLockWaits } from "../socket-lock-waits.js";
import { addBuckets, type CallSummary, percentileOf } from "../socket-sum.js";
import { callSummaries } from "../socket-summary.js";
import { percent, shown, time } from "../text.js";
import { BUSY_TAIL, MIN_SAMPLES } from "../thresholds.js";

/** A call with its busy median, its busy p99, and the part of its busy time that calls in the tail took. */
interface Tail {
  readonly row: CallSummary;
  readonly p50: number;
  readonly p99: number;
  readonly tailShare: number;
}

/** That a call spins, and for what. */
interface Proof {
  /** "By the CPU samples 75 % of …", a sentence but for what is wanted. */
  readonly text: string;
  readonly functions: readonly { readonly name: string; readonly share: number }[];
}

/** Findings "contended-socket-call", the call whose tail takes most time first. */
export function contendedSocketCalls(profile: Profile, cpu: CpuTime | undefined): Finding[] {
  const rows = callSummaries(profile, notSelf(profile)).filter(
    ({ waiting, process }) => !waiting && process >= 0,
  );
  return rows
    .map(tailOf)
    .filter((tail) => isLong(tail) && othersAreQuick(tail, rows))
    .sort((a, b) => b.row.busyNs * b.tailShare - a.row.busyNs * a.tailShare)
    .flatMap((tail) => {
      const proof = lockProof(profile, tail) ?? sampleProof(cpu, tail);
      return proof === undefined ? [] : [finding(tail, proof)];
    })
    .slice(0, BUSY_TAIL.maxFindings);
}

function tailOf(row: CallSummary): Tail {
  const p50 = percentileOf(row.busyBuckets, row.maxNs, 0.5);
  const p99 = percentileOf(row.busyBuckets, row.maxNs, 0.99);
  const longNs = row.busyBuckets.reduce((sum, count, bucket) => {
    const { low } = bucketBounds(bucket);
    return low >= p50 * BUSY_TAIL.times ? sum + count * low : sum;
  }, 0);
  return { row, p50, p99, tailShare: row.busyNs > 0 ? Math.min(1, longNs / row.busyNs) : 0 };
}

const isLong = ({ row, p50, p99, tailShare }: Tail): boolean =>
  row.count >= BUSY_TAIL.minCalls &&
  p99 >= BUSY_TAIL.minP99Ns &&
  p99 >= p50 * BUSY_TAIL.times &&
  tailShare >= BUSY_TAIL.tailShare;

/** Where every call has such a tail it is the machine (a hypervisor, interrupts), and no resource of this call. */
function othersAreQuick({ row, p99 }: Tail, rows: readonly CallSummary[]): boolean {
  const others = rows.filter(({ process, call }) => process === row.process && call !== row.call);
  const buckets = addBuckets(others.map(({ busyBuckets }) => busyBuckets));
  if (buckets.reduce((sum, count) => sum + count, 0) < BUSY_TAIL.minCalls) return false;
  const longest = others.reduce((most, { maxNs }) => Math.max(most, maxNs), 0);
  const others99 = percentileOf(buckets, longest, 0.99);
  return others99 < BUSY_TAIL.minP99Ns || others99 * BUSY_TAIL.times <= p99;
}

/** Of the time that is to be explained so much must be spinning: a call that is long since it sends more spins for nothing. */
const leastShare = ({ tailShare }: Tail): number =>
  Math.max(BUSY_TAIL.minSpinShare, tailShare * BUSY_TAIL.spinOfTail);

function sampleProof(cpu: CpuTime | undefined, tail: Tail): Proof | undefined {
  if (cpu === undefined) return undefined;
  const { samples, spinNs, ns, functions } = callCpu(cpu, tail.row.process, tail.row.call);
  if (samples < MIN_SAMPLES || spinNs < ns * leastShare(tail)) return undefined;
  return {
    text: `By the CPU samples ${percent(spinNs / ns)} of the call's CPU time spins for locks`,
    functions,
  };
}

function lockProof(profile: Profile, tail: Tail): Proof | undefined {
  const { samples, ns, functions } = callLockWaits(profile, tail.row);
  const busy = tail.row.busyNs;
  if (samples < MIN_SAMPLES || ns < busy * leastShare(tail)) return undefined;
  const share = Math.min(1, ns / busy);
  return {
    text: `By the kernel's account of its locks ${percent(share)} of the busy time spins for them`,
    functions: functions.map((each) => ({ name: each.name, share: each.share * share })),
  };
}

function finding({ row, p50, p99, tailShare }: Tail, { text, functions }: Proof): Finding {
  const name = `${shown(row.comm)} (pid ${row.pid})`;
  const [first] = functions;
  return {
    rule: "contended-socket-call",
    severity: "warning",
    title: `${row.call} of ${name} is busy for ${time(p99)} once in a hundred calls, usually ${time(p50)}${first === undefined ? "" : `: it spins in ${first.name}`}`,
    detail: `Of ${row.count.toLocaleString("en-US")} calls half are busy in the kernel for less than ${time(p50)}, one in a hundred for ${time(p99)} or longer, the longest call took ${time(row.maxNs)}; the long ones take ${percent(tailShare)} of the busy time. The other socket calls of the process are quick, so these meet something that others hold. ${text}${first === undefined ? "" : `, most of it wanted in ${first.name}`}.`,
    share: ratio(tailShare),
    culprit: first?.name ?? name,
    contributors: functions.map((each) => ({ name: each.name, share: ratio(each.share) })),
    next: [
      ...(row.pid === null
        ? []
        : [
            `lowflame record --what cpu,locks,sockets --pid ${row.pid}    # who waits, and who holds the locks`,
            straceCommand(row.pid, row.call),
          ]),
    ],
    tab: "sockets",
  };
}
