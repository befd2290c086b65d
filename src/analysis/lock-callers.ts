// Who asked for a kernel lock: the first frame outside lock, scheduler and trampoline text, found once for each node.
import { calledTree } from "../model/called-tree.js";
import type { Profile } from "../model/profile.js";
import { firstOutside, functionsWhere, innermost } from "./cpu-time.js";
import {
  BPF_BUCKET,
  BPF_FREE_LIST,
  LOCK_TEXT,
  plainName,
  RAW_TRACEPOINT_TEXT,
  SLEEPING_LOCK_TEXT,
  SPIN_SLOW_PATH,
  WAIT_TEXT,
  WEAK_TRAMPOLINE,
} from "./kernel-names.js";
import { isOwn, programSymbol } from "./own-programs.js";
import { shown } from "./text.js";

const SKIPPED = [
  SPIN_SLOW_PATH,
  LOCK_TEXT,
  SLEEPING_LOCK_TEXT,
  WAIT_TEXT,
  WEAK_TRAMPOLINE,
  RAW_TRACEPOINT_TEXT,
];
/** lowflame's programs at the contention tracepoints: parts of them have tags that no list holds. */
const OWN_PART = /^lf_lock/;

export interface LockCaller {
  /** Function that wanted the lock, "[unknown]" where no frame is outside lock text; fit to be shown. */
  readonly name: string;
  /** What the lock is, where the caller tells: a lock of a BPF map, with the program that uses it. */
  readonly bpfMap: { readonly lock: "bucket" | "free-list"; readonly program: string } | undefined;
}

/** @returns the caller of each node of the profile's tree, by node */
export function lockCallers(profile: Profile): (node: number) => LockCaller {
  const { functions } = profile;
  const tree = calledTree(profile);
  const skip = functionsWhere(profile, (name, kind) => {
    if (kind === "user" || kind === "jit" || kind === "vdso") return false;
    const symbol = programSymbol(name);
    if (symbol !== undefined) return isOwn(profile, symbol) || OWN_PART.test(symbol.name);
    const plain = plainName(name);
    return kind !== "bpf" || WEAK_TRAMPOLINE.test(plain) ? SKIPPED.some((text) => text.test(plain)) : false;
  });
  const programs = innermost(
    profile,
    functionsWhere(
      profile,
      (name, kind) => (kind === "bpf" || kind === "kernel") && programSymbol(name) !== undefined,
    ),
  );
  const known = new Map<number, LockCaller>();
  return (node) => {
    const id = node > 0 && node < tree.count ? firstOutside(profile, node, skip) : 0;
    let caller = known.get(id);
    if (caller === undefined) {
      const name = id === 0 ? "[unknown]" : functions.name[tree.func[id]!] || "[unknown]";
      const symbol = programSymbol(functions.name[tree.func[programs[id]!]!] ?? "");
      caller = {
        name: shown(name),
        bpfMap: symbol && bpfMapLock(plainName(name), symbol.name || symbol.tag),
      };
      known.set(id, caller);
    }
    return caller;
  };
}

function bpfMapLock(caller: string, program: string): LockCaller["bpfMap"] {
  if (BPF_FREE_LIST.test(caller)) return { lock: "free-list", program: shown(program) };
  return BPF_BUCKET.test(caller) ? { lock: "bucket", program: shown(program) } : undefined;
}
