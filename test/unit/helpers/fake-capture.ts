// Builds capture events without a kernel: say who ran what for how long, get the events a real capture would give.
// For tests of everything from src/model/ on. Rows, ids and the prefix tree are made here as the addon makes them.
import {
  type Batch,
  type CallRow,
  ENDPOINT_ROLES,
  type EndpointRole,
  type EndpointRow,
  type FinalFacts,
  FRAME_KINDS,
  type FrameKind,
  LOCK_KINDS,
  type LockKind,
  type LockRow,
  type ModuleRow,
  type NameRow,
  OFFCPU_STATES,
  type OffCpuState,
  type ProcessRow,
  type SampleColumns,
  type SampleSource,
  type SocketCountRow,
  type SourcePlace,
  type SourceRow,
  type StartFacts,
  type ThreadRow,
} from "../../../src/capture/binding.js";
import type { CaptureEvent } from "../../../src/capture/events.js";
import { isOfLocks, SAMPLE_SOURCES } from "../../../src/capture/sample-sources.js";
import type { RecordingFacts } from "../../../src/model/profile.js";
import { ns } from "../../../src/model/units.js";
import { fakeFacts, fakeFinal, fakeStart, HZ } from "./fake-facts.js";

/** One frame of a stack. `name` undefined = no name is ever sent; "" = searched, none found. */
export interface FakeFrame {
  readonly kind: FrameKind;
  readonly module: string;
  readonly name: string | undefined;
  /** Absent: one made up from the name, so that one name is one frame. */
  readonly offset?: bigint;
  readonly buildId?: string;
  /** Places in source text, innermost first. Frames of one name and several places are several frames. */
  readonly places?: readonly SourcePlace[];
}

/** Kernel frame. */
export const k = (name: string | undefined, offset?: bigint): FakeFrame =>
  frame("kernel", "[kernel]", name, offset);
/** Frame of a BPF program: `b("bpf_prog_0123456789abcdef_name")`. */
export const b = (name: string | undefined, offset?: bigint): FakeFrame =>
  frame("bpf", "[bpf]", name, offset);
/** User frame in a file. */
export const u = (name: string | undefined, module = "/usr/sbin/nginx", offset?: bigint): FakeFrame =>
  frame("user", module, name, offset);
/** JIT frame (perf map). */
export const j = (name: string | undefined, offset?: bigint): FakeFrame =>
  frame("jit", "[jit]", name, offset);

function frame(kind: FrameKind, module: string, name: string | undefined, offset?: bigint): FakeFrame {
  return offset === undefined ? { kind, module, name } : { kind, module, name, offset };
}

/** How one call of `cpu`, `offcpu`, `locks`, `futex` and so on differs from the usual. */
export interface FakeSampleOptions {
  /** Number of equal samples; default 1. */
  readonly times?: number;
  readonly cpu?: number;
  readonly weightNs?: number;
  readonly durationNs?: number;
  readonly state?: OffCpuState;
  readonly syscall?: number;
  readonly flags?: number;
  /**
   * When it was taken, or when the wait ended, ns since the start; default 1 ms after the sample before, where the thread
   * has not waited for a lock until then: then behind that. Owners of a lock come one by one with the waits for it.
   */
  readonly at?: number;
}

/** The same for a wait for a lock; `lock` is what `FakeCapture.lock` gave. */
export interface FakeLockOptions extends FakeSampleOptions {
  readonly lock: number;
}

interface PendingSample {
  readonly source: SampleSource;
  readonly thread: number;
  readonly stack: number;
  readonly options: FakeSampleOptions & Partial<FakeLockOptions>;
}

export { fakeFacts, fakeFinal, fakeStart };

/** A recording being made up. Use `process`, `thread`, `lock`, `endpoint`, `cpu`, `offcpu`, `slowCall`, …, then `events`. */
export class FakeCapture {
  #processes: ProcessRow[] = [];
  #threads: ThreadRow[] = [];
  #modules = new Map<string, ModuleRow>();
  #frames: { module: number; offset: bigint; kind: number }[] = [];
  #frameIds = new Map<string, number>();
  #nodes: { parent: number; frame: number }[] = [];
  #nodeIds = new Map<string, number>();
  #names: NameRow[] = [];
  #sources: SourceRow[] = [];
  #locks: LockRow[] = [];
  #endpoints: EndpointRow[] = [];
  #calls: CallRow[] = [];
  #socketCounts: SocketCountRow[] = [];
  #samples: PendingSample[] = [];
  #batches: Batch[] = [];
  #sent = { processes: 0, threads: 0, modules: 0, frames: 0, nodes: 0, names: 0, locks: 0, endpoints: 0 };
  #time = 0;
  /** Thread -> end of its last wait for a lock; lock -> ends of the waits for it of which no owner is known. */
  readonly #lastEnd = new Map<number, number>();
  readonly #unowned = new Map<number, number[]>();

  /** Adds a process and its main thread. */
  process(pid: number, comm: string, over: Partial<ProcessRow> = {}): { process: number; thread: number } {
    const id = this.#processes.length + 1;
    this.#processes.push({
      id,
      pid,
      startTimeNs: BigInt(pid) * 1_000_000n,
      comm,
      kernelThread: false,
      self: false,
      ...over,
    });
    return { process: id, thread: this.thread(id, pid, comm) };
  }

  /** Adds a thread to a process; returns its id. */
  thread(process: number, tid: number, comm: string): number {
    const id = this.#threads.length + 1;
    this.#threads.push({ id, tid, process, comm });
    return id;
  }

  /** CPU samples of a stack, root (entry point) first. Default weight: one period at 99 Hz. */
  cpu(thread: number, stack: readonly FakeFrame[], options: FakeSampleOptions = {}): this {
    this.#samples.push({ source: "cpu", thread, stack: this.stack(stack), options });
    return this;
  }

  /** Waits with a stack, root first. Default: 10 ms, interruptible. */
  offcpu(thread: number, stack: readonly FakeFrame[], options: FakeSampleOptions = {}): this {
    this.#samples.push({ source: "offcpu", thread, stack: this.stack(stack), options });
    return this;
  }

  /** Adds a lock; returns its id. Default: a mutex of which nothing is known, at an address of its own. */
  lock(lock: { kind?: LockKind; address?: bigint; name?: string } = {}): number {
    const id = this.#locks.length + 1;
    const address = lock.address ?? 0xffff888100000000n + BigInt(id) * 64n;
    this.#locks.push({
      id,
      kind: LOCK_KINDS.indexOf(lock.kind ?? "mutex"),
      address,
      name: lock.name ?? "",
    });
    return id;
  }

  /** Adds the other end of a socket; returns its id. Default: the TCP port 8080 of 10.0.0.1, connected to. */
  endpoint(end: { role?: EndpointRole } & Partial<Omit<EndpointRow, "id" | "role">> = {}): number {
    const id = this.#endpoints.length;
    const { role = "remote", ...rest } = end;
    const usual = { family: 2, protocol: 6, address: "10.0.0.1", port: 8080, network: 0 };
    this.#endpoints.push({ id, role: ENDPOINT_ROLES.indexOf(role), ...usual, ...rest });
    return id;
  }

  /** A slow socket call with its stack, root first. Default: recvfrom of 1 s, all of it blocked, returned 0. */
  slowCall(
    thread: number,
    stack: readonly FakeFrame[],
    over: Partial<Omit<CallRow, "thread" | "stack">>,
  ): this {
    const durationNs = over.durationNs ?? ns(1e9);
    const split = { busyNs: ns(0), blockedNs: durationNs, waitingNs: ns(0) };
    const usual = {
      timeNs: 5e9,
      syscall: 45,
      fd: 7,
      endpoint: -1,
      result: 0,
      durationNs,
      ...split,
      flags: 0,
    };
    this.#calls.push({ ...usual, ...over, thread, stack: this.stack(stack) });
    return this;
  }

  /** Sockets that a process has opened and closed so far. */
  socketCount(process: number, timeNs: number, opened: number, closed = 0, descriptors = 0): this {
    this.#socketCounts.push({ timeNs, process, opened, closed, descriptors });
    return this;
  }

  /** Waits of a thread for a kernel lock, with the waiter's stack, root first. Default: 10 ms, weight as long. */
  locks(thread: number, stack: readonly FakeFrame[], options: FakeLockOptions): this {
    this.#samples.push({ source: "locks", thread, stack: this.stack(stack), options });
    return this;
  }

  /** Who held a lock while waits went on: the owner's thread and stack. Weight and duration are those of the wait. */
  lockOwners(thread: number, stack: readonly FakeFrame[], options: FakeLockOptions): this {
    this.#samples.push({ source: "lock-owners", thread, stack: this.stack(stack), options });
    return this;
  }

  /** Waits of a thread for a futex, asleep. Each ends 1 ms after the one before: `at` says otherwise. */
  futex(thread: number, stack: readonly FakeFrame[], options: FakeLockOptions): this {
    this.#samples.push({ source: "futex", thread, stack: this.stack(stack), options });
    return this;
  }

  /** Who held a futex meanwhile, and in which stack, state and system call it slept itself; an empty stack: it ran. */
  futexOwners(thread: number, stack: readonly FakeFrame[], options: FakeLockOptions): this {
    this.#samples.push({ source: "futex-owners", thread, stack: this.stack(stack), options });
    return this;
  }

  /** Interns a stack (root first); returns its node id. */
  stack(frames: readonly FakeFrame[]): number {
    let node = 0;
    for (const f of frames) {
      const frameId = this.#frame(f);
      const key = `${node}/${frameId}`;
      let next = this.#nodeIds.get(key);
      if (next === undefined) {
        this.#nodes.push({ parent: node, frame: frameId });
        next = this.#nodes.length;
        this.#nodeIds.set(key, next);
      }
      node = next;
    }
    return node;
  }

  /** Closes the current batch: what is added later goes into the next one. `names: false` holds names back. */
  flush(options: { names?: boolean } = {}): this {
    const sent = this.#sent;
    const frames = this.#frames.slice(sent.frames);
    const nodes = this.#nodes.slice(sent.nodes);
    const modules = [...this.#modules.values()];
    const withNames = options.names ?? true;
    this.#batches.push({
      tables: {
        processes: this.#processes.slice(sent.processes),
        threads: this.#threads.slice(sent.threads),
        modules: modules.slice(sent.modules),
        frames: {
          firstId: sent.frames + 1,
          count: frames.length,
          module: Uint32Array.from(frames, (f) => f.module),
          offset: BigUint64Array.from(frames, (f) => f.offset),
          kind: Uint8Array.from(frames, (f) => f.kind),
        },
        stacks: {
          firstId: sent.nodes + 1,
          count: nodes.length,
          parent: Uint32Array.from(nodes, (n) => n.parent),
          frame: Uint32Array.from(nodes, (n) => n.frame),
        },
        names: withNames ? this.#names.slice(sent.names) : [],
        ...(this.#sources.length > 0 && { sources: this.#sources }),
        locks: this.#locks.slice(sent.locks),
        endpoints: this.#endpoints.slice(sent.endpoints),
        calls: this.#calls,
        socketCounts: this.#socketCounts,
      },
      samples: SAMPLE_SOURCES.map((source) => this.#columns(source)).filter((columns) => columns.count > 0),
    });
    this.#sent = {
      processes: this.#processes.length,
      threads: this.#threads.length,
      modules: modules.length,
      frames: this.#frames.length,
      nodes: this.#nodes.length,
      names: withNames ? this.#names.length : sent.names,
      locks: this.#locks.length,
      endpoints: this.#endpoints.length,
    };
    this.#calls = [];
    this.#sources = [];
    this.#socketCounts = [];
    this.#samples = [];
    return this;
  }

  /** All batches so far; what is still open is closed first. */
  batches(): readonly Batch[] {
    const { names, locks, endpoints } = this.#sent;
    const rows = this.#samples.length + this.#calls.length + this.#socketCounts.length;
    const left =
      this.#sources.length > 0 ||
      names < this.#names.length ||
      locks < this.#locks.length ||
      endpoints < this.#endpoints.length;
    if (rows > 0 || left || this.#batches.length === 0) this.flush();
    return this.#batches;
  }

  /** Header, batches, end. */
  events(
    over: {
      start?: Partial<StartFacts>;
      facts?: Partial<RecordingFacts>;
      final?: Partial<FinalFacts>;
      endReason?: string;
    } = {},
  ): CaptureEvent[] {
    return [
      { type: "header", facts: fakeFacts(over.facts), start: fakeStart(over.start) },
      ...this.batches().map((batch) => ({ type: "batch", batch }) as const),
      { type: "end", final: fakeFinal(over.final), endReason: over.endReason ?? "duration" },
    ];
  }

  #frame(f: FakeFrame): number {
    const key = JSON.stringify([f.kind, f.module, f.name ?? null, String(f.offset ?? ""), f.places ?? null]);
    const known = this.#frameIds.get(key);
    if (known !== undefined) return known;
    let module = this.#modules.get(f.module);
    if (module === undefined) {
      module = { id: this.#modules.size + 1, path: f.module, buildId: f.buildId ?? "" };
      this.#modules.set(f.module, module);
    }
    const id = this.#frames.length + 1;
    const base = f.kind === "kernel" || f.kind === "bpf" ? 0xffffffff81000000n : 0x1000n;
    this.#frames.push({
      module: module.id,
      offset: f.offset ?? base + BigInt(id) * 64n,
      kind: FRAME_KINDS.indexOf(f.kind),
    });
    this.#frameIds.set(key, id);
    if (f.name !== undefined) this.#names.push({ frame: id, name: f.name });
    if (f.places !== undefined) this.#sources.push({ frame: id, places: f.places });
    return id;
  }

  #timeOf({ source, thread, options }: PendingSample, durationNs: number): number {
    const owners = source === "lock-owners" || source === "futex-owners";
    const lock = options.lock ?? 0;
    if (owners && options.at === undefined) {
      const end = this.#unowned.get(lock)?.shift();
      if (end !== undefined) return end;
    }
    this.#time += 1_000_000;
    if (options.at !== undefined || !isOfLocks(source) || owners) return options.at ?? this.#time;
    const end = Math.max(this.#time, (this.#lastEnd.get(thread) ?? 0) + durationNs);
    this.#lastEnd.set(thread, end + 1000);
    this.#unowned.set(lock, [...(this.#unowned.get(lock) ?? []), end]);
    return end;
  }

  #columns(source: SampleSource): SampleColumns {
    const rows = this.#samples
      .filter((s) => s.source === source)
      .flatMap((s) => Array.from({ length: s.options.times ?? 1 }, () => s));
    const period = Math.round(1e9 / HZ);
    const duration = (s: PendingSample) => (source === "cpu" ? 0 : (s.options.durationNs ?? 10_000_000));
    const asleep = source === "offcpu" || source === "futex";
    const state = asleep ? "interruptible" : "none";
    return {
      source,
      count: rows.length,
      timeNs: Float64Array.from(rows, (s) => this.#timeOf(s, duration(s))),
      cpu: Uint32Array.from(rows, (s) => s.options.cpu ?? 0),
      thread: Uint32Array.from(rows, (s) => s.thread),
      stack: Uint32Array.from(rows, (s) => s.stack),
      weightNs: Float64Array.from(
        rows,
        (s) => s.options.weightNs ?? (source === "cpu" ? period : duration(s)),
      ),
      durationNs: Float64Array.from(rows, duration),
      state: Uint8Array.from(rows, (s) => OFFCPU_STATES.indexOf(s.options.state ?? state)),
      syscall: Int32Array.from(rows, (s) => s.options.syscall ?? -1),
      flags: Uint32Array.from(rows, (s) => s.options.flags ?? 0),
      ...(isOfLocks(source) && { lock: Uint32Array.from(rows, (s) => s.options.lock ?? 0) }),
    };
  }
}
