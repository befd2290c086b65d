// What socket calls spin for by the kernel's own account of its locks, where that was recorded: also where interrupts are off, as in
// BPF programs of other tools, and the timer that takes CPU samples sees nothing. Waits for a lock that may sleep (a mutex spins while its
// holder runs) count as far as the call did not sleep for so long.
import { LOCK_KINDS, type LockKind } from "../capture/binding.js";
import type { Profile } from "../model/profile.js";
import { functionsWhere, outermost, Tally } from "./cpu-time.js";
import { plainName } from "./kernel-names.js";
import { lockCallers } from "./lock-callers.js";
import { socketCallNodes } from "./socket-cpu.js";
import { systemCallOf } from "./socket-functions.js";
import type { CallSummary } from "./socket-sum.js";

const SPINNING: ReadonlySet<LockKind> = new Set(["spin lock", "rwlock, read", "rwlock, write"]);

/** Waits for kernel locks of one process in one socket call; estimates from sampled waits. */
export interface CallLockWaits {
  readonly samples: number;
  /**
   * Time that was spun. Of waits for locks that may sleep only what the call was neither blocked nor without a CPU for in all: at
   * least so much of it was spinning.
   */
  readonly ns: number;
  /** What wants the locks, most first; fit to be shown. */
  readonly functions: readonly { readonly name: string; readonly share: number }[];
}

const FUNCTIONS = 6;

/** @returns no samples where locks were not recorded */
export function callLockWaits(
  profile: Profile,
  { process, call, blockedNs, waitingNs }: Pick<CallSummary, "process" | "call" | "blockedNs" | "waitingNs">,
): CallLockWaits {
  const table = profile.weights.find(({ source }) => source === "locks");
  const [spinning, sleeping] = [new Tally(), new Tally()];
  let samples = 0;
  if (table?.lock !== undefined) {
    const inSocket = socketCallNodes(profile);
    const callNode = outermost(
      profile,
      functionsWhere(profile, (name, kind) => kind === "kernel" && systemCallOf(plainName(name)) === call),
    );
    const callerOf = lockCallers(profile);
    for (let row = 0; row < table.count; row++) {
      const node = table.node[row]!;
      if (inSocket[node] === 0 || callNode[node] === 0) continue;
      if (profile.threads[table.thread[row]!]?.process !== process) continue;
      const kind = LOCK_KINDS[profile.locks[table.lock[row]!]?.kind ?? -1];
      if (kind === undefined) continue;
      samples += table.samples[row]!;
      const { name, bpfMap } = callerOf(node);
      (SPINNING.has(kind) ? spinning : sleeping).add(
        bpfMap === undefined ? name : `${name} in BPF program ${bpfMap.program}`,
        table.weightNs[row]!,
      );
    }
  }
  const spun = sleeping.total > 0 ? Math.max(0, 1 - (blockedNs + waitingNs) / sleeping.total) : 0;
  const wanted = new Tally();
  for (const { name, amount } of spinning.top(Number.POSITIVE_INFINITY)) wanted.add(name, amount);
  for (const { name, amount } of sleeping.top(Number.POSITIVE_INFINITY)) wanted.add(name, amount * spun);
  return {
    samples,
    ns: wanted.total,
    functions: wanted
      .top(FUNCTIONS)
      .map(({ name, amount }) => ({ name, share: wanted.total > 0 ? amount / wanted.total : 0 })),
  };
}
