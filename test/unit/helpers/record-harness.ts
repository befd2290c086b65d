// What the tests of `lowflame record` share: a harness around a fake addon that recorded an nginx.
import { afterEach } from "vitest";
import type { CaptureEvent } from "../../../src/capture/events.js";
import { readCapture } from "../../../src/capture/file/reader.js";
import { Harness, type HarnessOptions } from "./cli-harness.js";
import { FakeBinding, type FakeBindingOptions } from "./fake-binding.js";
import { FakeCapture, k, u } from "./fake-capture.js";

/** Batches of an nginx worker that sends and sleeps. */
export function nginx() {
  const capture = new FakeCapture();
  const { thread } = capture.process(4711, "nginx");
  capture.cpu(thread, [u("main"), u("ngx_worker"), k("tcp_sendmsg")], { times: 30 });
  capture.offcpu(thread, [u("main"), k("do_epoll_wait"), k("schedule")], { durationNs: 2e9, syscall: 232 });
  return capture.batches();
}

const open: Harness[] = [];
afterEach(() => {
  for (const harness of open.splice(0)) harness[Symbol.dispose]();
});

/** A harness that is taken away after the test, and the fake addon in it. */
export function setUp(options: FakeBindingOptions = {}, more: HarnessOptions = {}) {
  const binding = new FakeBinding({ batches: nginx(), ...options });
  const harness = new Harness({ binding, ...more });
  open.push(harness);
  return { binding, harness };
}

/** All events of the capture at `path`. */
export async function eventsOf(path: string): Promise<CaptureEvent[]> {
  const events: CaptureEvent[] = [];
  for await (const event of readCapture(path)) events.push(event);
  return events;
}
