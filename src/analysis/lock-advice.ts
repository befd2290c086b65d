// What to do about a lock that is waited for, by what kind of lock it is.
import { FILE_TABLE, plainName } from "./kernel-names.js";
import type { LockGroup } from "./lock-groups.js";

export interface LockAdvice {
  /** A sentence: why threads meet at this lock. */
  readonly why: string;
  /** Commands or steps, as to be typed. */
  readonly next: readonly string[];
}

/** Names of kinds as `perf lock contention -Y` has them. */
const PERF_TYPE: readonly [RegExp, string][] = [
  [/^spin lock/, "spinlock"],
  [/^rwlock/, "rwlock"],
  [/^rwsem/, "rwsem"],
  [/^rt mutex/, "rt-mutex"],
  [/^percpu rwsem/, "pcpu-sem"],
  [/^mutex/, "mutex"],
];

/** @param pid the process that waits most, where one is known */
export function adviceFor(group: LockGroup, pid: number | undefined): LockAdvice {
  const type = PERF_TYPE.find(([kind]) => kind.test(group.kind))?.[1] ?? "mutex";
  const general = `perf lock contention -ab -l -Y ${type} -- sleep 5    # the same lock by its address`;
  const target = pid === undefined ? "-a" : `-p ${pid}`;
  if (group.bpfProgram !== undefined)
    return {
      why: "It belongs to a map that CPUs share and a BPF program writes wherever it runs: each run waits for the others.",
      next: [
        "bpftool prog show    # find the program by its name, then bpftool map show id N for its maps",
        "Stop the tool that loaded the program, then record again. For its author: each update of a hash map takes a bucket's lock, of a per-CPU hash map, too; arrays have none.",
        general,
      ],
    };
  if (/mmap_lock/.test(group.name))
    return {
      why: "All threads of a process share its mmap_lock: each mmap, munmap and mprotect holds it alone, and page faults may wait for that.",
      next: [
        `perf trace -s ${target} -e mmap,munmap,mprotect,madvise,brk -- sleep 5    # who changes the address space how often`,
        "Fewer mmap, munmap and page faults: an allocator that keeps memory, larger regions; or processes in place of threads, each of which has its own lock.",
        general,
      ],
    };
  if (/\bfiles_(?:struct|cache)\b|file_lock/.test(group.name) || isFileTable(group))
    return {
      why: "All threads of a process share its table of open files: each open, close, dup, socket and accept takes this lock.",
      next: [
        `perf trace -s ${target} -e openat,close,dup,dup2,dup3,socket,accept4 -- sleep 5    # who opens and closes how often`,
        "Keep files and connections open, or use processes in place of threads, each of which has its own table.",
        general,
      ],
    };
  const [caller] = group.callers;
  return {
    why: "While a thread waits for it, it does nothing else.",
    next: [
      general,
      caller === undefined
        ? "Record again with -d 30s: no stack of a wait was sampled."
        : `Search the flame graph of kernel locks for ${caller.name} and read which system call leads there.`,
    ],
  };
}

/** Most of the waiting comes from functions that work on a table of open files. */
function isFileTable({ callers }: LockGroup): boolean {
  const share = callers
    .filter(({ name }) => FILE_TABLE.test(plainName(name)))
    .reduce((sum, caller) => sum + caller.share, 0);
  return share > 0.5;
}
