// Signals during a recording: the first one ends it and keeps the result, a second Ctrl-C gives up at once.
import { Exit } from "./errors.js";

export const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type StopSignal = (typeof STOP_SIGNALS)[number];

/** The part of `process` that signals arrive at. */
export interface SignalSource {
  on(signal: StopSignal, listener: () => void): unknown;
  off(signal: StopSignal, listener: () => void): unknown;
}

export interface SignalActions {
  /** The first signal. */
  readonly onStop: (signal: StopSignal) => void;
  /** Ctrl-C for the second time. */
  readonly onGiveUp: () => void;
}

/**
 * Two SIGINT closer than this are one, ms: `timeout -s INT` signals its child and then the child's group, and no hand
 * presses Ctrl-C this fast.
 */
const SAME_PRESS_MS = 100;

/** What `RecordingFacts.endReason` says. */
export const END_REASON: Readonly<Record<StopSignal, string>> = {
  SIGINT: "interrupted",
  SIGTERM: "interrupted by SIGTERM",
  SIGHUP: "interrupted by SIGHUP",
};

/**
 * Exit code after a result that a signal cut short was written: 0 for Ctrl-C, since the user wanted just that; 128+n
 * for SIGTERM and SIGHUP, since who sent them (a service manager, `timeout`) looks for that.
 */
export const EXIT_AFTER: Readonly<Record<StopSignal, number>> = {
  SIGINT: Exit.ok,
  SIGTERM: Exit.terminated,
  SIGHUP: Exit.hangup,
};

/**
 * Listens from now on. Returns the function that stops listening.
 * @param clock milliseconds
 */
export function watchSignals(
  source: SignalSource,
  actions: SignalActions,
  clock: () => number = () => performance.now(),
): () => void {
  let stopped = false;
  let interruptedAt: number | undefined;
  const listeners = STOP_SIGNALS.map((signal) => {
    const listener = () => {
      if (signal === "SIGINT") {
        const before = interruptedAt;
        interruptedAt ??= clock();
        if (before !== undefined && clock() - before >= SAME_PRESS_MS) return actions.onGiveUp();
      }
      if (stopped) return;
      stopped = true;
      actions.onStop(signal);
    };
    source.on(signal, listener);
    return { signal, listener };
  });
  return () => {
    for (const { signal, listener } of listeners) source.off(signal, listener);
  };
}
