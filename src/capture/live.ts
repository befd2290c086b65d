// A live capture: takes a native session through its steps and hands what it gives to one consumer, event by event.
// Nothing is kept here: a slow consumer slows the taking, and what the native queues cannot hold is counted there.
import type { RecordingFacts } from "../model/profile.js";
import type {
  Batch,
  FinalFacts,
  NativeBinding,
  NativeSession,
  SessionConfig,
  StartFacts,
} from "./binding.js";
import type { CaptureEvent } from "./events.js";

/** JavaScript time that one turn of the event loop may spend on batches before timers and signals get theirs, ms. */
const TURN_BUDGET_MS = 8;
/**
 * Longest sleep without a wake-up from the addon, ms: a lost wake-up costs latency, never data. Longer than the addon's own interval:
 * whoever wakes by himself takes half a batch, and two small ones cost twice as much as one.
 */
const MAX_IDLE_MS = 5000;

/** Asks a recording to end. The first reason stands; asking again changes nothing. */
export class StopRequest {
  readonly #asked: Promise<void>;
  #resolve!: () => void;
  #reason: string | undefined;

  constructor() {
    this.#asked = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** @param reason as it goes into `RecordingFacts.endReason`, e.g. "duration" or "interrupted" */
  request(reason: string): void {
    this.#reason ??= reason;
    this.#resolve();
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  /** Resolves when the end was asked for. */
  get asked(): Promise<void> {
    return this.#asked;
  }
}

export interface LiveRecording {
  readonly binding: NativeBinding;
  readonly config: SessionConfig;
  readonly facts: Omit<RecordingFacts, "endReason">;
  readonly stop: StopRequest;
  /** Takes each event; the next one waits until its promise is settled. A rejection ends the recording. */
  readonly consume: (event: CaptureEvent) => void | Promise<void>;
  /** Called once events flow: the clock of a duration starts here. */
  readonly onActive?: (start: StartFacts, session: Pick<NativeSession, "liveCounts">) => void;
}

export interface LiveResult {
  readonly start: StartFacts;
  readonly final: FinalFacts;
  readonly endReason: string;
}

/**
 * Records until `stop` is asked. Returns undefined when that happened before events flowed: then nothing was recorded
 * and `consume` was never called. The session is closed in every case.
 * @throws what the addon throws (NativeError) and what `consume` throws
 */
export async function recordLive(recording: LiveRecording): Promise<LiveResult | undefined> {
  const { config, stop } = recording;
  const session = recording.binding.openSession();
  try {
    // These steps block; a turn of the event loop between them lets Ctrl-C through.
    for (const step of [() => session.configure(config), () => session.load(), () => session.attach()]) {
      step();
      await nextTurn();
      if (stop.reason !== undefined) return undefined;
    }
    return await recordActive(session, recording);
  } finally {
    session.close();
  }
}

async function recordActive(session: NativeSession, recording: LiveRecording): Promise<LiveResult> {
  const { consume, stop } = recording;
  const bell = new Bell();
  session.onWakeup(() => bell.ring());
  const start = session.activate();
  await consume({ type: "header", facts: recording.facts, start });
  recording.onActive?.(start, session);
  const forward = (batch: Batch) => consume({ type: "batch", batch });

  stop.asked.then(() => bell.ring());
  await pump(session, forward, bell, () => stop.reason !== undefined);

  // Batches are taken while the addon drains as well: its queues are bounded and would overflow otherwise.
  let drained = false;
  const draining = session.deactivate().finally(() => {
    drained = true;
    bell.ring();
  });
  // A consumer that fails meanwhile must not leave this rejection without a listener.
  draining.catch(() => {});
  await pump(session, forward, bell, () => drained);
  await draining;
  for (let batch = session.take(); batch !== null; batch = session.take()) await forward(batch);

  const final = session.finish();
  const endReason = stop.reason ?? "stopped";
  await consume({ type: "end", final, endReason });
  return { start, final, endReason };
}

/** Takes batches until `done`, with pauses for the event loop; sleeps on the bell when there are none. */
async function pump(
  session: NativeSession,
  forward: (batch: Batch) => void | Promise<void>,
  bell: Bell,
  done: () => boolean,
): Promise<void> {
  let turnEnds = performance.now() + TURN_BUDGET_MS;
  while (!done()) {
    const batch = session.take();
    if (batch === null) {
      await bell.wait(MAX_IDLE_MS);
      turnEnds = performance.now() + TURN_BUDGET_MS;
      continue;
    }
    await forward(batch);
    if (performance.now() >= turnEnds) {
      await nextTurn();
      turnEnds = performance.now() + TURN_BUDGET_MS;
    }
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A wake-up that is remembered when nobody waits for it yet. */
class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves at the next ring, at once if it was rung since the last wait, or after `timeoutMs`. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    this.#rung = false;
  }
}
