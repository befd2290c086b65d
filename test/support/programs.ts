// Starts the test programs of known behaviour (test/programs) and gives what they counted themselves, typed.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildPrograms, Child } from "./children.js";
import { programsDir } from "./paths.js";

/** Times in nanoseconds; see the head of each program for its options. */
export interface Results {
  "known-cpu": KnownCpuResult;
  "known-cpu-nofp": KnownCpuResult;
  "inlined-chain": { readonly cpuNs: number };
  "late-code": { readonly wallNs: number };
  /** Runs until it is stopped. */
  "direct-callers": object;
  "deep-sleepers": { readonly threads: number };
  "stack-shapes": { readonly rounds: number };
  /** Built only where there is a compiler of that language. */
  "rust-stacks": { readonly rounds: number };
  "go-stacks": { readonly rounds: number };
  "deep-calls": { readonly threads: number };
  "known-sleep": { readonly wallNs: number; readonly sleepers: readonly SleeperResult[] };
  /** `sumSquares`: of the sleeps' lengths, ns². */
  "many-sleeps": { readonly threads: number; readonly count: number; sumNs: number; sumSquares: number };
  "known-runq": {
    readonly wallNs: number;
    readonly spinners: readonly { tid: number; cpuNs: number; runDelayNs: number; slices: number }[];
  };
  "many-threads": {
    readonly threads: number;
    readonly wakes: number;
    wallNs: number;
    voluntarySwitches: number;
  };
  "page-fault": {
    readonly pagesTouched: number;
    readonly minorFaults: number;
    cpuNs: number;
    touchNs: number;
  };
  "brief-lives": { readonly processes: number };
  "exits-fast": { readonly processes: number; readonly wallNs: number; readonly childrenCpuNs: number };
  "sleeper-forever": { readonly sleepers: readonly { name: string; tid: number; asleepNs: number }[] };
  "ping-pong": { readonly roundTrips: number; readonly wallNs: number; readonly switches: number };
  "getppid-loop": { readonly calls: number; readonly wallNs: number; readonly cpuNs: number };
  /** `sleptNs`: on CPU 0 and on CPU 1. */
  "cpu-hopper": { readonly wallNs: number; readonly cpuNs: number; readonly sleptNs: [number, number] };
  "vfork-wait": { readonly waitedNs: number };
  "lost-stacks": { readonly mode: number; readonly wallNs: number };
  "lock-contention": { readonly operations: number; readonly wallNs: number; readonly threads: number };
  /** Time beyond that of the same calls when nobody held the lock. */
  "lock-callers": {
    readonly seldomNs: number;
    readonly seldomCalls: number;
    readonly oftenNs: number;
    readonly oftenCalls: number;
  };
  "tcp-loop": { readonly sent: number; readonly wallNs: number; readonly threads: number };
  "held-mutex": { readonly waits: number; readonly heldNs: number; readonly lengthNs: number };
  "user-locks": {
    readonly holderTid: number;
    readonly waiterTid: number;
    readonly locks: readonly { name: string; address: number; count: number; waitedNs: number }[];
  };
  "futex-forms": {
    readonly holderTid: number;
    readonly forms: readonly { name: string; address: number; count: number; waitedNs: number }[];
  };
  /** Runs until it is stopped; its ready line has the addresses. */
  "futex-turns": { readonly lock: number; readonly condition: number };
  /** Addresses of the words. */
  "atomic-pool": AtomicPoolResult;
  "atomic-pool-stripped": AtomicPoolResult;
  /** Built only where rustc is. Addresses of the locks. */
  "rust-locks": { readonly rwlock: number; readonly mutex: number };
  /** `address` 0: of words that are not known. */
  "word-locks": {
    readonly words: readonly { name: string; address: number; count: number; waitedNs: number }[];
  };
  /** Address of the lock that all want at the end, and how long it was waited for, by CLOCK_MONOTONIC. */
  "many-mutexes": { readonly hot: number; readonly hotWaitedNs: number };
  "lock-convoy": {
    readonly waits: number;
    readonly waitedNs: number;
    readonly heldNs: number;
    readonly holderTid: number;
    readonly address: number;
  };
  /** `quickTid` 0: in a line there is none. */
  "lock-hands": { readonly slowTid: number; readonly quickTid: number; readonly address: number };
  /** The process that had the lock. */
  "counted-lock": { readonly lockPid: number };
  "many-sockets": { readonly threads: number };
  "socket-loop": { readonly calls: number; readonly wallNs: number };
  "socket-forks": { readonly processes: number };
  "silent-connects": object;
  /** CPU time while each program ran, ns. */
  "bpf-turns": { readonly alpha: number; readonly beta: number; readonly gamma: number };
  "rtnl-holder": { readonly changes: number; readonly longest: number; readonly holder: number };
  "socket-leak": { readonly opened: number };
  /** Of `sendmmsg`: bytes by port. Back come one, two and three messages of 3 bytes, by one `recvmmsg`. */
  "socket-datagrams": {
    readonly path: string;
    readonly abstract: string;
    readonly ports: readonly number[];
    readonly bytes: readonly number[];
  };
  /** By port or name: how often was asked there. */
  "socket-roles": {
    readonly tcp: readonly (readonly [number, number])[];
    readonly unix: readonly (readonly [string, number])[];
  };
  /** By scene: the port that is asked, and another one. */
  "socket-hands": Readonly<Record<string, readonly [number, number]>>;
  "full-queues": never;
  /** Of the calls that wait until somebody takes what was sent. */
  "stuck-sends": { readonly splicePort: number; readonly closePort: number };
  /** Ports of the end that only reads, and of the one that answers. */
  "log-lines": { readonly log: number; readonly quick: number };
  "late-reader": { readonly first: number; readonly second: number; readonly unreadNs: number };
  "uring-nops": { readonly requests: number };
  /** Numbers of connections of each fate; `sent`: blocks of 1,000 bytes; and ports. */
  "tcp-life": {
    readonly connects: number;
    readonly refused: number;
    readonly resets: number;
    readonly closeWaits: number;
    readonly sent: number;
    readonly port: number;
    readonly closedPort: number;
    readonly fullPort: number;
  };
  "socket-calls": {
    readonly slowEnd: string;
    readonly answers: number;
    readonly blockedNs: number;
    readonly calls: readonly {
      syscall: number;
      count: number;
      bytes: number;
      errors: number;
      byError: Readonly<Record<string, number>>;
    }[];
    /** By role, address and port. */
    readonly endpoints: readonly {
      name: string;
      count: number;
      bytesOut: number;
      bytesIn: number;
      errors: number;
      again: number;
    }[];
  };
  /** `commHex`: the bytes given to the kernel as the thread's name. */
  "hostile-names": { readonly threads: readonly { tid: number; cpuNs: number; commHex: string }[] };
}
export type ProgramName = keyof Results;

export interface AtomicPoolResult {
  readonly version: number;
  readonly idle: number;
  readonly lock: number;
}

export interface KnownCpuResult {
  readonly threads: number;
  readonly wallNs: number;
  readonly cpuNs: number;
  /** CPU time by function, entry to exit; together a little less than cpuNs. */
  readonly functions: { burn_half: number; burn_thirty_percent: number; burn_fifth: number };
}

export interface SleeperResult {
  /** The thread's comm. */
  readonly name: string;
  /** The function that sleeps; it is on the user stack. */
  readonly function: string;
  readonly state: "interruptible" | "uninterruptible" | "stopped";
  readonly pid: number;
  readonly tid: number;
  readonly count: number;
  readonly lengthNs: number;
  /** Sum by CLOCK_MONOTONIC around the call, so with the wait for a CPU after it. */
  readonly measuredNs: number;
  readonly minNs: number;
  readonly maxNs: number;
  readonly voluntarySwitches: number;
}

export interface Program<Name extends ProgramName> {
  readonly pid: number;
  readonly child: Child;
  /** Path of the binary, for symbol checks. */
  readonly path: string;
  /** Lets a held program run. */
  go(): void;
  /** What the program counted; rejects when it fails. Waits for its end. */
  result(timeoutMs?: number): Promise<Results[Name]>;
  /** Ends it (SIGTERM, for sleeper-forever the way to its result). */
  stop(): Promise<void>;
}

export interface ProgramOptions {
  /** Options of the program, e.g. ["--ms", "500"]. */
  readonly args?: readonly string[];
  /** Wait for `go()` after the set-up. */
  readonly hold?: boolean;
  /** Name of the process (at most 15 bytes), for tests of filters by comm: the program is run through a link so called. */
  readonly comm?: string;
  /** Words to put before the command, e.g. ["taskset", "-c", "1"]; they must exec it. */
  readonly wrap?: readonly string[];
}

export function programPath(name: ProgramName): string {
  return join(programsDir(), name);
}

/** Builds (if needed) and starts one program; resolves once it says that it is ready. */
export async function startProgram<Name extends ProgramName>(
  name: Name,
  options: ProgramOptions = {},
): Promise<Program<Name>> {
  buildPrograms();
  const path = programPath(name);
  const run = options.comm === undefined ? path : linkCalled(options.comm, path);
  const hold = options.hold ? ["--hold"] : [];
  const command = [...(options.wrap ?? []), run, ...(options.args ?? []), ...hold];
  const child = Child.start(command);
  await child.until(() => child.stdout.includes("\n"), 30_000, "ready line");
  return {
    pid: child.pid,
    child,
    path,
    go: () => child.write("go\n"),
    async result(timeoutMs = 60_000) {
      await child.until(() => !child.running, timeoutMs, "result");
      const line = child.stdout.trim().split("\n").at(-1) ?? "";
      if (!line.startsWith('{"event":"result"'))
        throw new Error(
          `${name} gave no result. It said: ${child.stderr.trim() || child.stdout.trim() || "nothing"}`,
        );
      return JSON.parse(line) as Results[Name];
    },
    async stop() {
      await child.stop();
    },
  };
}

/** The kernel takes a process's name from the path that was executed, links included. */
function linkCalled(comm: string, path: string): string {
  const dir = mkdtempSync(join(tmpdir(), "lowflame-comm-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const link = join(dir, comm);
  symlinkSync(path, link);
  return link;
}

/** Starts a program, waits for its end, gives what it counted. */
export async function runProgram<Name extends ProgramName>(
  name: Name,
  ...args: string[]
): Promise<Results[Name]> {
  return (await startProgram(name, { args })).result();
}
