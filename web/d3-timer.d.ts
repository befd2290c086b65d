// The part of d3-timer that the page uses; the package ships no types.
declare module "d3-timer" {
  /** Runs all timers that are due, now. */
  export function timerFlush(): void;
}
