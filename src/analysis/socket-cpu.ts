// CPU time inside of socket calls: which samples, of which call, what the calls spin on, and who makes them.
import { calledTree } from "../model/called-tree.js";
import type { Profile } from "../model/profile.js";
import {
  type CpuTime,
  callerOutside,
  functionsWhere,
  innermost,
  kernelFunctions,
  outermost,
  Tally,
} from "./cpu-time.js";
import { IRQ_TEXT, LOCK_TEXT, OPTIMISTIC_SPIN, plainName, SPIN_SLOW_PATH } from "./kernel-names.js";
import { CallerTally } from "./socket-callers.js";
import { SOCKET_CALL, systemCallOf } from "./socket-functions.js";
import type { SocketCaller } from "./socket-sum.js";
import { shown } from "./text.js";

/** By node: the outermost function of a socket call on its path; 0 = none. */
export const socketCallNodes = (profile: Profile): Uint32Array =>
  outermost(profile, kernelFunctions(profile, SOCKET_CALL));

/** CPU time of one process in one socket call. */
export interface CallCpu {
  readonly samples: number;
  readonly ns: number;
  /** In slow paths of locks. */
  readonly spinNs: number;
  /** What wants the locks that are spun for; where nothing spins, the functions that the time is spent in. Most first. */
  readonly functions: readonly { readonly name: string; readonly share: number }[];
}

const FUNCTIONS = 6;

/** @param call name of the system call */
export function callCpu({ profile, table }: CpuTime, process: number, call: string): CallCpu {
  const { functions } = profile;
  const tree = calledTree(profile);
  const inKernel = (test: (plain: string) => boolean) =>
    functionsWhere(profile, (name, kind) => kind === "kernel" && test(plainName(name)));
  const inSocket = socketCallNodes(profile);
  const callNode = outermost(
    profile,
    inKernel((name) => systemCallOf(name) === call),
  );
  const spins = innermost(profile, inKernel(isSpin));
  const skip = inKernel((name) => isSpin(name) || LOCK_TEXT.test(name) || IRQ_TEXT.test(name));
  const wanted = new Tally();
  const spent = new Tally();
  let samples = 0;
  for (let row = 0; row < table.count; row++) {
    const node = table.node[row]!;
    if (inSocket[node] === 0 || callNode[node] === 0) continue;
    if (profile.threads[table.thread[row]!]?.process !== process) continue;
    const weight = table.weightNs[row]!;
    samples += table.samples[row]!;
    spent.add(shown(functions.name[tree.func[node]!]!), weight);
    const spin = spins[node]!;
    if (spin !== 0) wanted.add(shown(callerOutside(profile, spin, skip) ?? "[unknown]"), weight);
  }
  const told = wanted.total > 0 ? wanted : spent;
  return {
    samples,
    ns: spent.total,
    spinNs: wanted.total,
    functions: told
      .top(FUNCTIONS)
      .map(({ name, amount }) => ({ name, share: spent.total > 0 ? amount / spent.total : 0 })),
  };
}

const isSpin = (name: string): boolean => SPIN_SLOW_PATH.test(name) || OPTIMISTIC_SPIN.test(name);

/** User functions from which the CPU samples of a process go into socket calls, most first: who makes the calls. */
export function callersOfSockets({ profile, table }: CpuTime, process: number): SocketCaller[] {
  const inSocket = socketCallNodes(profile);
  const callers = new CallerTally(profile);
  for (let row = 0; row < table.count; row++) {
    const node = table.node[row]!;
    if (inSocket[node] === 0 || profile.threads[table.thread[row]!]?.process !== process) continue;
    callers.add(node, table.weightNs[row]!);
  }
  return callers.top(FUNCTIONS);
}
