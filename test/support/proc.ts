// Readers of /proc for checks that stand on the kernel's own accounts.
import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ: the unit of /proc/stat and /proc/PID/stat on every Linux ABI that Node runs on. */
const NS_PER_TICK = 10_000_000;

/** Fields of /proc/PID/stat after the name (which may hold spaces and brackets); [0] is the state. */
function statFields(pid: number | string): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** Pids whose process group is `group`. */
export function groupMembers(group: number): number[] {
  const members: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (Number(statFields(name)[2]) === group) members.push(Number(name));
    } catch {
      // ended meanwhile
    }
  }
  return members;
}

/** Pids whose parent is `pid`. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    try {
      return /^\d+$/.test(name) && Number(statFields(name)[1]) === pid ? [Number(name)] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** CPU time (user + system, ns) of all processes of a group, with their children that were waited for. */
export function groupCpuNs(group: number): number {
  let ticks = 0;
  for (const pid of groupMembers(group)) {
    try {
      const f = statFields(pid);
      ticks += Number(f[11]) + Number(f[12]) + Number(f[13]) + Number(f[14]);
    } catch {
      // ended meanwhile
    }
  }
  return ticks * NS_PER_TICK;
}

/** CPU time (user + system, ns) of all children of this process that have ended. */
export function endedChildrenCpuNs(): number {
  const f = statFields("self");
  return (Number(f[13]) + Number(f[14])) * NS_PER_TICK;
}

/** What the scheduler counted for one thread: time on a CPU, time waiting for one (ns), and slices run. */
export function schedstat(pid: number, tid = pid): { cpuNs: number; runDelayNs: number; slices: number } {
  const [cpuNs, runDelayNs, slices] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, "latin1")
    .split(" ")
    .map(Number);
  return { cpuNs: cpuNs!, runDelayNs: runDelayNs!, slices: slices! };
}

/** One-letter scheduler state of a process's main thread ("S", "D", "T", "R", …). */
export function stateOf(pid: number): string {
  return statFields(pid)[0]!;
}

/** Whether a process still runs; one that only waits to be reaped by its parent does not. */
export function isAlive(pid: number): boolean {
  try {
    return !["Z", "X"].includes(stateOf(pid));
  } catch {
    return false;
  }
}

/** Context switches of the machine since boot. */
export function contextSwitches(): number {
  return Number(/^ctxt (\d+)/m.exec(readFileSync("/proc/stat", "latin1"))![1]);
}

/** The name that the kernel keeps for a thread, as bytes. */
export function commBytes(pid: number, tid = pid): Buffer {
  const bytes = readFileSync(`/proc/${pid}/task/${tid}/comm`);
  return bytes.subarray(0, bytes.length - 1); // the kernel ends it with a line break
}

/** Tids of a process. */
export function threadsOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number);
}

/** Resident memory of a process in bytes: anonymous, file and shared parts as /proc/PID/status gives them. */
export function residentBytes(pid: number): { anonymous: number; file: number; shared: number } {
  const text = readFileSync(`/proc/${pid}/status`, "latin1");
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  return { anonymous: kib("RssAnon"), file: kib("RssFile"), shared: kib("RssShmem") };
}

export interface KernelMemory {
  /** BPF maps that the process holds, each once: bytes charged (`memlock` of fdinfo). */
  readonly mapBytes: number;
  readonly maps: number;
  /** Its mapped perf rings. */
  readonly perfRingBytes: number;
}

/** Kernel memory that a process holds for tracing: the maps among its descriptors, and the perf rings it has mapped. */
export function kernelMemory(pid: number): KernelMemory {
  const maps = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1");
    } catch {
      continue; // closed meanwhile
    }
    const id = /^map_id:\s+(\d+)/m.exec(text)?.[1];
    if (id) maps.set(id, Number(/^memlock:\s+(\d+)/m.exec(text)?.[1] ?? 0));
  }
  let perfRingBytes = 0;
  for (const line of readFileSync(`/proc/${pid}/maps`, "latin1").split("\n")) {
    if (!line.endsWith("[perf_event]")) continue;
    const [from, to] = line
      .split(" ", 1)[0]!
      .split("-")
      .map((hex) => Number.parseInt(hex, 16));
    perfRingBytes += to! - from!;
  }
  return { mapBytes: [...maps.values()].reduce((a, b) => a + b, 0), maps: maps.size, perfRingBytes };
}
