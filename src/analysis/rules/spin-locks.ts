// CPU time that goes into waiting for spinning locks, and who wants them.
import type { Profile } from "../../model/profile.js";
import { ratio } from "../../model/units.js";
import {
  type CpuTime,
  callerOutside,
  functionsWhere,
  innermost,
  kernelFunctions,
  outermost,
  processName,
  Tally,
} from "../cpu-time.js";
import type { Finding } from "../finding.js";
import { foreignTime } from "../foreign-time.js";
import {
  BPF_ENTRY_EXIT,
  BPF_MAP_LOOKUP,
  BPF_MAP_OPERATION,
  IRQ_TEXT,
  LOCK_TEXT,
  OPTIMISTIC_SPIN,
  plainName,
  SPIN_SLOW_PATH,
  WEAK_TRAMPOLINE,
} from "../kernel-names.js";
import { lockSummaries, locksRecorded, notSelf } from "../lock-summary.js";
import { programSymbol } from "../own-programs.js";
import { graded, percent, shown, time } from "../text.js";
import { MIN_SAMPLES, SPIN, SPIN_WAITS_HIDDEN } from "../thresholds.js";

/** Spin locks (with the map operations of BPF programs, where the timer hides them), and sleeping locks that spin. */
export function spinLocks(_: Profile, cpu: CpuTime | undefined): Finding[] {
  if (cpu === undefined) return [];
  return [spinning(cpu), optimistic(cpu)].filter((finding) => finding !== undefined);
}

function spinning(cpu: CpuTime): Finding | undefined {
  const { profile, table } = cpu;
  const { functions, tree } = profile;
  const own = foreignTime(cpu).own;
  const slow = innermost(profile, kernelFunctions(profile, SPIN_SLOW_PATH));
  const skip = lockAndIrqText(profile);
  const takesLock = (name: string) =>
    BPF_MAP_OPERATION.test(name) && !BPF_ENTRY_EXIT.test(name) && !BPF_MAP_LOOKUP.test(name);
  const mapFunctions = kernelFunctionsWhere(profile, takesLock);
  const programs = innermost(
    profile,
    functionsWhere(profile, (name) => programSymbol(name) !== undefined),
  );
  const operation = innermostBelow(profile, programs, mapFunctions);
  const callers = new Tally();
  const processes = new Tally();
  let spinNs = 0;
  let mapNs = 0;
  let samples = 0;
  for (let row = 0; row < table.count; row++) {
    const node = table.node[row]!;
    const inMap = operation[node] !== 0;
    if ((slow[node] === 0 && !inMap) || own[node] === 1) continue;
    const weight = table.weightNs[row]!;
    samples += table.samples[row]!;
    if (slow[node] !== 0) spinNs += weight;
    else mapNs += weight;
    let name: string;
    if (inMap) {
      const symbol = programSymbol(functions.name[tree.func[programs[node]!]!]!)!;
      name = `${functions.name[tree.func[operation[node]!]!]} in BPF program ${symbol.name || symbol.tag}`;
    } else name = callerOutside(profile, slow[node]!, skip) ?? "[unknown]";
    callers.add(shown(name), weight);
    processes.add(processName(profile, table.thread[row]!), weight);
  }
  const share = (spinNs + mapNs) / cpu.totalNs;
  const severity = graded(share, SPIN);
  if (severity === undefined || samples < MIN_SAMPLES) return undefined;
  const [first] = callers.top(1);
  const [process] = processes.top(1);
  const maps =
    mapNs > 0
      ? ` Another ${percent(mapNs / cpu.totalNs)} is charged to map operations of BPF programs: their lock spins with interrupts off, so the timer that takes the samples sees the wait only there, together with the operation's own work, and the two cannot be told apart.`
      : "";
  return {
    rule: "spinlock-share",
    severity,
    // What a map operation hides may be waiting or work: the title must not call it waiting.
    title:
      spinNs === 0
        ? `${percent(share)} of the busy CPU time goes into BPF map operations, which hide what they wait for their locks, most of it into ${first!.name}`
        : mapNs > spinNs
          ? `${percent(share)} of the busy CPU time goes into spin locks and the BPF map operations that hide them, most of it into ${first!.name}`
          : `${percent(share)} of the busy CPU time is spent waiting for spin locks, most of it for ${first!.name}`,
    detail: `${percent(spinNs / cpu.totalNs)} of the busy CPU time was in the slow paths of spin locks.${maps} A CPU that waits for a spin lock does nothing else. Most of it runs in ${process!.name}.${whichLocks(profile, spinNs)}`,
    share: ratio(share),
    culprit: first!.name,
    contributors: callers.top(6).map(({ name, amount }) => ({ name, share: ratio(amount / cpu.totalNs) })),
    next: [
      mapNs > spinNs
        ? "bpftool prog show    # then bpftool map show id N: each update of a hash map takes a bucket's lock, of a per-CPU hash map, too; arrays have none"
        : "perf lock contention -ab -Y spinlock -- sleep 5    # who waits, for how long (blind in some guests)",
      "Search the CPU flame graph for the name above and read what stands below it.",
    ],
    tab: "cpu",
    search: mapNs > spinNs ? "htab_|pcpu_freelist|lock_slowpath" : "lock_slowpath|resilient_|rtlock_",
  };
}

/** A sentence on which locks were spun for, where waits for locks were recorded, too; else "". */
function whichLocks(profile: Profile, spinNs: number): string {
  if (!locksRecorded(profile, "locks")) return "";
  const all = lockSummaries(profile, "locks", notSelf(profile));
  const locks = all.filter(
    ({ lock, kind }) => lock >= 0 && (kind === "spin lock" || kind.startsWith("rwlock")),
  );
  // what has no row of its own may be of any kind
  const otherNs = all.find(({ lock }) => lock < 0)?.sumNs ?? 0;
  const waitedNs = locks.reduce((sum, { sumNs }) => sum + sumNs, 0);
  if (waitedNs + otherNs < spinNs * SPIN_WAITS_HIDDEN)
    return ` The kernel's tracepoints told of only ${time(waitedNs)} of such waits: this guest's kernel hides them, since its test-and-set lock spins before the tracepoint, so the list of kernel locks misses them.`;
  if (locks.length === 0) return "";
  const named = locks.slice(0, 2).map(({ name, sumNs }) => `${name} (${time(sumNs)})`);
  return ` Waited for most, by the kernel's own count: ${named.join(" and ")}.`;
}

function optimistic(cpu: CpuTime): Finding | undefined {
  const { profile, table } = cpu;
  const spins = outermost(profile, kernelFunctions(profile, OPTIMISTIC_SPIN));
  const skip = lockAndIrqText(profile);
  const callers = new Tally();
  let samples = 0;
  for (let row = 0; row < table.count; row++) {
    const node = spins[table.node[row]!]!;
    if (node === 0) continue;
    samples += table.samples[row]!;
    callers.add(shown(callerOutside(profile, node, skip) ?? "[unknown]"), table.weightNs[row]!);
  }
  const share = callers.total / cpu.totalNs;
  const severity = graded(share, SPIN);
  if (severity === undefined || samples < MIN_SAMPLES) return undefined;
  const [first] = callers.top(1);
  return {
    rule: "optimistic-spin",
    severity,
    title: `${percent(share)} of the busy CPU time spins for a mutex or rwsem, most of it in ${first!.name}`,
    detail: `Waiters of these sleeping locks spin as long as the owner runs. ${percent(share)} of the busy CPU time went there: the lock is held often and by running threads, so more threads make it worse.`,
    share: ratio(share),
    culprit: first!.name,
    contributors: callers.top(6).map(({ name, amount }) => ({ name, share: ratio(amount / cpu.totalNs) })),
    next: ["perf lock contention -ab -Y mutex,rwsem -- sleep 5    # who waits, for how long"],
    tab: "cpu",
    search: "spin_on_owner|optimistic_spin|osq_lock",
  };
}

function lockAndIrqText(profile: Profile): Uint8Array {
  const text = (name: string) =>
    LOCK_TEXT.test(name) || IRQ_TEXT.test(name) || WEAK_TRAMPOLINE.test(name) || SPIN_SLOW_PATH.test(name);
  return kernelFunctionsWhere(profile, text);
}

function kernelFunctionsWhere(profile: Profile, test: (plain: string) => boolean): Uint8Array {
  return functionsWhere(profile, (name, kind) => kind === "kernel" && test(plainName(name)));
}

/** By node: the outermost matching node between the innermost program on its path and itself; 0 = none. */
function innermostBelow(profile: Profile, programs: Uint32Array, matches: Uint8Array): Uint32Array {
  const { tree } = profile;
  const result = new Uint32Array(tree.count);
  for (let node = 1; node < tree.count; node++) {
    const program = programs[node]!;
    if (program === 0 || program === node) continue;
    const above = result[tree.parent[node]!]!;
    result[node] = above !== 0 ? above : matches[tree.func[node]!] === 1 ? node : 0;
  }
  return result;
}
