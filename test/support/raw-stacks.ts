// The user stacks of a recording as the addon hands them over, before anything is merged by name: a file and an offset a frame.
import { type Batch, FRAME_KINDS, SampleFlag } from "../../src/capture/binding.js";

export interface RawFrame {
  /** Path, or "[jit]" and the like. */
  readonly module: string;
  /** In the file; of JIT code the address. */
  readonly offset: number;
  /** "" where there is none. */
  readonly name: string;
}

export interface RawStack {
  readonly pid: number;
  /** Since the start of the recording. */
  readonly timeNs: number;
  /** SampleFlag bits. */
  readonly flags: number;
  /** Leaf first, without those of the kernel. */
  readonly frames: readonly RawFrame[];
}

export const isWhole = (stack: RawStack): boolean => (stack.flags & SampleFlag.userWhole) !== 0;

const USER_KINDS: ReadonlySet<string> = new Set(["user", "jit", "vdso", "unknown"]);

/** Give it the batches in their order. */
export class RawStacks {
  readonly #pids: number[] = [];
  readonly #threads: number[] = [];
  readonly #modules: string[] = [];
  readonly #frames: { module: number; offset: number; user: boolean }[] = [];
  readonly #names: string[] = [];
  readonly #stacks: { parent: number; frame: number }[] = [];
  readonly #samples: { thread: number; timeNs: number; flags: number; stack: number }[] = [];

  add({ tables, samples }: Batch): void {
    for (const row of tables.processes) this.#pids[row.id] = row.pid;
    for (const row of tables.threads) this.#threads[row.id] = row.process;
    for (const row of tables.modules) this.#modules[row.id] = row.path;
    for (const row of tables.names) this.#names[row.frame] = row.name;
    const { frames, stacks } = tables;
    for (let i = 0; i < frames.count; i++)
      this.#frames[frames.firstId + i] = {
        module: frames.module[i]!,
        offset: Number(frames.offset[i]!),
        user: USER_KINDS.has(FRAME_KINDS[frames.kind[i]!]!),
      };
    for (let i = 0; i < stacks.count; i++)
      this.#stacks[stacks.firstId + i] = { parent: stacks.parent[i]!, frame: stacks.frame[i]! };
    for (const s of samples) {
      if (s.source !== "cpu") continue;
      for (let i = 0; i < s.count; i++)
        this.#samples.push({
          thread: s.thread[i]!,
          timeNs: s.timeNs[i]!,
          flags: s.flags[i]!,
          stack: s.stack[i]!,
        });
    }
  }

  /** CPU samples of these processes that have a user half; names are there when the recording is over. */
  of(pids: readonly number[]): RawStack[] {
    const wanted = new Set(pids);
    return this.#samples.flatMap(({ thread, timeNs, flags, stack }) => {
      const pid = this.#pids[this.#threads[thread]!]!;
      const frames = wanted.has(pid) ? this.#framesOf(stack) : [];
      return frames.length ? [{ pid, timeNs, flags, frames }] : [];
    });
  }

  #framesOf(stack: number): RawFrame[] {
    const frames: RawFrame[] = [];
    for (let node = stack; node !== 0; node = this.#stacks[node]!.parent) {
      const id = this.#stacks[node]!.frame;
      const { module, offset, user } = this.#frames[id]!;
      if (user) frames.push({ module: this.#modules[module]!, offset, name: this.#names[id] ?? "" });
    }
    return frames;
  }
}
