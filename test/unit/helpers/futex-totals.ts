// A process "app" with threads that wait for a user lock, for tests of what is made of it.
import type { FinalFacts, LockKind, LockTotal, SourceName } from "../../../src/capture/binding.js";
import type { Profile } from "../../../src/model/profile.js";
import { buildProfile } from "./build-profile.js";
import { FakeCapture, type FakeFrame, u } from "./fake-capture.js";
import { MUTEX, THREAD } from "./futex-example.js";

export const APP = "/usr/bin/app";
export const app = (name: string): FakeFrame => u(name, APP);
/** A thread of the app that wants a mutex in Cache::get. */
export const WANTS = [...THREAD, app("Worker::run()"), app("Cache::get(Key const&)"), ...MUTEX];

export interface FakeApp {
  readonly capture: FakeCapture;
  readonly process: number;
  /** Main thread first. */
  readonly threads: readonly number[];
}

export function fakeApp(threads = 1, capture = new FakeCapture()): FakeApp {
  const { process, thread } = capture.process(80, "app");
  const others = Array.from({ length: threads - 1 }, (_, n) =>
    capture.thread(process, 81 + n, `worker-${n + 1}`),
  );
  return { capture, process, threads: [thread, ...others] };
}

/** A futex of the app; addresses count up from 0x7f0000000000. */
export function futexOf(
  { capture }: FakeApp,
  kind: LockKind = "user lock",
  address = 0x7f0000000000n,
): number {
  return capture.lock({ kind, address, name: `futex 0x${address.toString(16)} of app (pid 80)` });
}

export function profileOf(
  { capture }: FakeApp,
  lockTotals: readonly LockTotal[],
  over: { final?: Partial<FinalFacts>; sources?: readonly SourceName[]; cut?: boolean } = {},
): Profile {
  const events = capture.events({
    facts: { sources: over.sources ?? ["futex"] },
    final: { ...over.final, lockTotals },
  });
  return buildProfile(over.cut ? events.slice(0, -1) : events);
}
