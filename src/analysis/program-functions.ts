// Which user functions the CPU time of some threads goes into.
import { calledTree } from "../model/called-tree.js";
import type { Profile } from "../model/profile.js";
import { type CpuTime, functionsWhere, innermost, Tally } from "./cpu-time.js";
import { shown } from "./text.js";

/** The five functions with most CPU time of their own, what they call in the kernel included; shares of all such time. */
export function userFunctions(
  profile: Profile,
  cpu: CpuTime,
  own: (thread: number) => boolean,
): { readonly name: string; readonly share: number }[] {
  const user = innermost(
    profile,
    functionsWhere(profile, (_, kind) => kind !== "kernel"),
  );
  const spent = new Tally();
  for (let row = 0; row < cpu.table.count; row++) {
    if (!own(cpu.table.thread[row]!)) continue;
    const node = user[cpu.table.node[row]!]!;
    const name = node === 0 ? "[kernel]" : profile.functions.name[calledTree(profile).func[node]!]!;
    spent.add(shown(name), cpu.table.weightNs[row]!);
  }
  return spent.top(5).map(({ name, amount }) => ({ name, share: amount / spent.total }));
}
