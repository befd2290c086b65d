// The tools that are compared: how each is started, and how one knows that it is really attached.
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Child } from "../test/support/children.js";
import { repositoryRoot } from "../test/support/paths.js";
import { groupCpuNs, groupMembers } from "../test/support/proc.js";

/** Longer than any load here; observers are ended by a signal. */
const LONG_S = 3600;

export interface ObserverTarget {
  /** Processes of the server under load. */
  readonly pids: readonly number[];
  /** Folder for output files. */
  readonly dir: string;
}

export interface Observer {
  readonly name: string;
  /** What it covers, in a few words. */
  readonly covers: string;
  command(target: ObserverTarget): readonly string[];
  /** strace takes hold of its target instead of opening events. */
  readonly ptrace?: boolean;
  /** It attaches nothing: the control of a measurement. */
  readonly idle?: boolean;
  /** BPF map whose element 0 is 1 while its programs are to work, and 0 while they are to return at once. */
  readonly gate?: string;
}

const lowflameCli = () => join(repositoryRoot(), "dist/cli/main.js");

/** Whether `npm run build` has made the command. */
export function lowflameIsBuilt(): boolean {
  return existsSync(lowflameCli()) && existsSync(join(repositoryRoot(), "build/Release/lowflame.node"));
}

/** The command that records with lowflame into `output`. */
export function lowflameRecord(what: string, output: string, seconds = LONG_S): string[] {
  return [process.execPath, lowflameCli(), "record", "-d", `${seconds}s`, "--what", what, "-o", output];
}

/** @param options more of the command line */
export function lowflame(what: string, ...options: readonly string[]): Observer {
  return {
    name: ["lowflame --what", what, ...options].join(" "),
    covers: "whole machine, 99 Hz, with stacks",
    command: ({ dir }) => [...lowflameRecord(what, join(dir, "out.lowflame")), ...options],
  };
}

const bpftrace = (script: string) => () => ["bpftrace", "-e", script];

/** Enter and exit of the calls that a proxy lives on. */
const CALLS = ["recvfrom", "sendto", "read", "write", "readv", "writev", "epoll_wait", "accept4", "connect"];
const CALL_LATENCY = `${CALLS.map((c) => `tracepoint:syscalls:sys_enter_${c}`).join(",")} { @start[tid] = nsecs; }
${CALLS.map((c) => `tracepoint:syscalls:sys_exit_${c}`).join(",")} /@start[tid]/ {
  @ns[comm, probe] = hist(nsecs - @start[tid]); delete(@start[tid]); }`;

const OFF_CPU = `tracepoint:sched:sched_switch {
  @off[args->prev_pid] = nsecs;
  if (@off[args->next_pid]) { @sum[args->next_comm] = sum(nsecs - @off[args->next_pid]); delete(@off[args->next_pid]); } }`;

/** What lowflame keeps exactly: count, sum and histogram by lock and process. */
const LOCKS = `tracepoint:lock:contention_begin /!@at[tid]/ { @at[tid] = nsecs; @lock[tid] = args->lock_addr; }
tracepoint:lock:contention_end /@at[tid]/ { $ns = nsecs - @at[tid]; @sum[@lock[tid], pid] = sum($ns);
  @ns[@lock[tid], pid] = hist($ns); delete(@at[tid]); delete(@lock[tid]); }`;
const LOCK_STACKS = `BEGIN { @on[0] = 1; }
${LOCKS.replace("/!@at[tid]/", "/@on[0] && !@at[tid]/").replace("@sum[@lock[tid], pid]", "@sum[@lock[tid], pid, kstack]")}`;

/**
 * What lowflame records with all its sources, as far as bpftrace can: CPU stacks, off-CPU time by stack, waits for kernel locks by
 * lock, process and stack, latency of the calls (futex among them) by process, call and descriptor, with errors and bytes, and
 * the life of TCP connections. Of short waits lowflame takes some stacks, which a script cannot. `@on` switches all of it.
 */
const ALL_CALLS = [...CALLS, "futex", "close", "sendmsg", "recvmsg", "shutdown", "setsockopt"];
const EVERYTHING = `BEGIN { @on[0] = 1; }
profile:hz:99 /@on[0]/ { @cpu[kstack, ustack, comm] = count(); }
tracepoint:sched:sched_switch /@on[0]/ {
  @off[args->prev_pid] = nsecs; @kernel[args->prev_pid] = kstack; @user[args->prev_pid] = ustack;
  if (@off[args->next_pid]) {
    @sum[args->next_comm, @kernel[args->next_pid], @user[args->next_pid]] = sum(nsecs - @off[args->next_pid]);
    delete(@off[args->next_pid]); delete(@kernel[args->next_pid]); delete(@user[args->next_pid]); } }
tracepoint:lock:contention_begin /@on[0]/ { @at[tid] = nsecs; @lock[tid] = args->lock_addr; }
tracepoint:lock:contention_end /@on[0] && @at[tid]/ { $ns = nsecs - @at[tid]; @waited[@lock[tid], pid] = hist($ns);
  @stacks[@lock[tid], pid, kstack] = sum($ns); delete(@at[tid]); delete(@lock[tid]); }
tracepoint:sock:inet_sock_set_state /@on[0]/ { @life[args->protocol, args->newstate, args->dport] = count(); }
tracepoint:tcp:tcp_retransmit_skb /@on[0]/ { @again[args->dport] = count(); }
${ALL_CALLS.filter((c) => !/epoll|futex/.test(c))
  .map((c) => `tracepoint:syscalls:sys_enter_${c}`)
  .join(",")} /@on[0]/ {
  @start[tid] = nsecs; @fd[tid] = args->fd; }
tracepoint:syscalls:sys_enter_epoll_wait,tracepoint:syscalls:sys_enter_futex /@on[0]/ { @start[tid] = nsecs; }
${ALL_CALLS.map((c) => `tracepoint:syscalls:sys_exit_${c}`).join(",")} /@on[0] && @start[tid]/ {
  @ns[pid, probe, @fd[tid]] = hist(nsecs - @start[tid]);
  if (args->ret < 0) { @errors[pid, probe, args->ret] = count(); } else { @bytes[pid, probe] = sum(args->ret); }
  delete(@start[tid]); delete(@fd[tid]); }`;

export const peers = {
  bpftraceEverything: {
    name: "bpftrace, the same coverage",
    covers:
      "whole machine, CPU stacks, off-CPU sums, locks, futex and socket calls by process and descriptor",
    command: bpftrace(EVERYTHING),
    gate: "AT_on",
  },
  perfRecord: {
    name: "perf record -g",
    covers: "whole machine, 99 Hz, with stacks",
    command: ({ dir }) => ["perf", "record", "-F", "99", "-a", "-g", "-o", join(dir, "perf.data")],
  },
  bpftraceProfile: {
    name: "bpftrace profile",
    covers: "whole machine, 99 Hz, with stacks",
    command: bpftrace("profile:hz:99 { @[kstack, ustack, comm] = count(); }"),
  },
  offcputime: {
    name: "libbpf-tools offcputime",
    covers: "whole machine, waits with stacks",
    command: () => ["offcputime", String(LONG_S)],
  },
  runqlat: {
    name: "libbpf-tools runqlat -P",
    covers: "whole machine, run queue by process",
    command: () => ["runqlat", "-P", String(LONG_S), "1"],
  },
  bpftraceOffCpu: {
    name: "bpftrace off-CPU sums",
    covers: "whole machine, waits by name, no stacks",
    command: bpftrace(OFF_CPU),
  },
  syscount: {
    name: "libbpf-tools syscount -L",
    covers: "whole machine, all calls",
    command: () => ["syscount", "-L", "-d", String(LONG_S)],
  },
  bpftraceCalls: {
    name: "bpftrace, tracepoints on the calls",
    covers: `whole machine, ${CALLS.length} calls with latency`,
    command: bpftrace(CALL_LATENCY),
  },
  bpftraceLocks: {
    name: "bpftrace on contention_begin/end",
    covers: "whole machine, by lock and process, no stacks",
    command: bpftrace(LOCKS),
  },
  bpftraceLockStacks: {
    name: "bpftrace on contention_begin/end, with kernel stacks",
    covers: "whole machine, by lock, process and stack",
    command: bpftrace(LOCK_STACKS),
    gate: "AT_on",
  },
  klockstat: {
    name: "libbpf-tools klockstat",
    covers: "whole machine, mutexes and rwsems, with stacks",
    command: () => ["klockstat", "-d", String(LONG_S)],
  },
  perfTrace: {
    name: "perf trace -s",
    covers: "whole machine, all calls",
    command: ({ dir }) => ["perf", "trace", "-s", "-a", "-o", join(dir, "trace.txt")],
  },
  strace: {
    name: "strace -c -f",
    covers: "the nginx processes, all calls",
    command: ({ pids }) => ["strace", "-c", "-f", ...pids.flatMap((pid) => ["-p", String(pid)])],
    ptrace: true,
  },
} satisfies Record<string, Observer>;

export interface RunningObserver {
  readonly child: Child;
  /** CPU time so far of the tool's own processes, ns. */
  cpuNs(): number;
  members(): number[];
  stop(): Promise<void>;
}

/** Starts an observer; resolves when it is attached; rejects with its own words when it does not. */
export async function startObserver(observer: Observer, target: ObserverTarget): Promise<RunningObserver> {
  const child = Child.start(observer.command(target));
  let handles = 0;
  let stable = 0;
  try {
    await child.until(
      () => {
        if (observer.idle) return true;
        if (observer.ptrace) return target.pids.every(isTraced);
        const now = tracingHandles(child.pid);
        stable = now > 0 && now === handles ? stable + 1 : 0;
        handles = now;
        return stable >= 20; // looked at every 20 ms: nothing was opened any more for 0.4 s
      },
      60_000,
      "attached state",
    );
  } catch (error) {
    await child.stop("SIGKILL");
    throw error;
  }
  await sleep(300);
  return {
    child,
    cpuNs: () => groupCpuNs(child.pid),
    members: () => groupMembers(child.pid),
    async stop() {
      await child.stop("SIGINT", 30_000);
    },
  };
}

/** Descriptors of BPF programs, BPF links and perf events in a process group. */
function tracingHandles(group: number): number {
  let count = 0;
  for (const pid of groupMembers(group)) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        try {
          if (/bpf[-_]prog|bpf[-_]link|perf_event/.test(readlinkSync(`/proc/${pid}/fd/${fd}`))) count++;
        } catch {
          // closed meanwhile
        }
      }
    } catch {
      // ended meanwhile
    }
  }
  return count;
}

function isTraced(pid: number): boolean {
  return !/^TracerPid:\s+0$/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
}
