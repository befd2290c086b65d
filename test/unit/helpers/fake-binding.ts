// An addon without a kernel: it keeps the protocol of NativeSession, writes down the order of calls and fails on demand.
import type {
  Batch,
  FinalFacts,
  LiveCounts,
  NativeBinding,
  NativeSession,
  ProbeRow,
  SessionConfig,
  StartFacts,
} from "../../../src/capture/binding.js";
import { fakeFinal, fakeStart } from "./fake-capture.js";

export type Step = "open" | "configure" | "load" | "attach" | "activate" | "deactivate" | "finish";

export interface FakeBindingOptions {
  /** Given while the recording runs, in order; each wakes the reader up. */
  readonly batches?: readonly Batch[];
  /** Given only after `deactivate` began: what was still waiting. */
  readonly lateBatches?: readonly Batch[];
  /** The step that throws, and what. */
  readonly fail?: { readonly step: Step; readonly error: Error };
  readonly probe?: readonly ProbeRow[];
  readonly start?: Partial<StartFacts>;
  readonly final?: Partial<FinalFacts>;
  /** Called inside a step, to let something happen just then. */
  readonly during?: Partial<Record<Step, () => void>>;
}

/** An error as the addon throws it. */
export const nativeError = (code: string, message: string): Error =>
  Object.assign(new Error(message), { code });

export class FakeBinding implements NativeBinding {
  /** Every call in order, `take` and `liveCounts` left out. */
  readonly calls: string[] = [];
  config: SessionConfig | undefined;
  /** Batches that nobody has taken. */
  left = 0;

  constructor(readonly options: FakeBindingOptions = {}) {}

  probe(): readonly ProbeRow[] {
    return this.options.probe ?? [];
  }

  openSession(): NativeSession {
    this.step("open");
    return new FakeSession(this);
  }

  step(name: Step): void {
    this.calls.push(name);
    this.options.during?.[name]?.();
    if (this.options.fail?.step === name) throw this.options.fail.error;
  }
}

class FakeSession implements NativeSession {
  readonly #binding: FakeBinding;
  #queue: Batch[] = [];
  #wake: () => void = () => {};
  #taken = 0;

  constructor(binding: FakeBinding) {
    this.#binding = binding;
  }

  configure(config: SessionConfig): void {
    this.#binding.config = config;
    this.#binding.step("configure");
  }

  load(): void {
    this.#binding.step("load");
  }

  attach(): void {
    this.#binding.step("attach");
  }

  activate(): StartFacts {
    this.#binding.step("activate");
    this.#offer(this.#binding.options.batches ?? []);
    return fakeStart(this.#binding.options.start);
  }

  onWakeup(callback: () => void): void {
    this.#wake = callback;
  }

  take(): Batch | null {
    const batch = this.#queue.shift() ?? null;
    this.#binding.left = this.#queue.length;
    if (batch) this.#taken += batch.samples.reduce((sum, columns) => sum + columns.count, 0);
    return batch;
  }

  liveCounts(): LiveCounts {
    return { samples: this.#taken, stacks: this.#taken, lost: 0 };
  }

  async deactivate(): Promise<void> {
    this.#binding.step("deactivate");
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.#offer(this.#binding.options.lateBatches ?? []);
  }

  finish(): FinalFacts {
    this.#binding.step("finish");
    return fakeFinal(this.#binding.options.final);
  }

  close(): void {
    this.#binding.calls.push("close");
  }

  #offer(batches: readonly Batch[]): void {
    this.#queue.push(...batches);
    this.#binding.left = this.#queue.length;
    this.#wake();
  }
}
