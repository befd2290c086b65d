// A live capture: the order of steps, that nothing is left behind, and that a slow reader slows the taking.
import { describe, expect, it } from "vitest";
import type { CaptureEvent } from "../../src/capture/events.js";
import { recordLive, StopRequest } from "../../src/capture/live.js";
import { hertz } from "../../src/model/units.js";
import { FakeBinding, type FakeBindingOptions, nativeError } from "./helpers/fake-binding.js";
import { FakeCapture, fakeFacts, k } from "./helpers/fake-capture.js";

function batches(count: number) {
  const capture = new FakeCapture();
  const { thread } = capture.process(10, "nginx");
  for (let i = 0; i < count; i++) capture.cpu(thread, [k("entry"), k(`work_${i}`)]).flush();
  return capture.batches();
}

function start(options: FakeBindingOptions, consume: (event: CaptureEvent) => void | Promise<void>) {
  const binding = new FakeBinding(options);
  const stop = new StopRequest();
  const config = { sources: ["cpu"] as const, frequencyHz: hertz(99), filters: {} };
  const done = recordLive({
    binding,
    config,
    facts: fakeFacts(),
    stop,
    consume,
    onActive: () => setTimeout(() => stop.request("duration"), 20),
  });
  return { binding, stop, done };
}

describe("recordLive", () => {
  it("takes the session through its steps in order and closes it", async () => {
    const { binding, done } = start({}, () => {});
    await done;
    expect(binding.calls).toEqual([
      "open",
      "configure",
      "load",
      "attach",
      "activate",
      "deactivate",
      "finish",
      "close",
    ]);
  });

  it("gives a header, every batch in order, also those that come while it drains, and an end", async () => {
    const all = batches(12);
    const seen: CaptureEvent[] = [];
    const { done } = start({ batches: all.slice(0, 8), lateBatches: all.slice(8) }, (event) => {
      seen.push(event);
    });
    const result = await done;
    expect(seen.map((event) => event.type)).toEqual(["header", ...all.map(() => "batch"), "end"]);
    expect(seen.flatMap((event) => (event.type === "batch" ? [event.batch] : []))).toEqual(all);
    expect(result?.endReason).toBe("duration");
  });

  it("hands the next batch over only when the one before was taken in", async () => {
    let open = 0;
    let most = 0;
    const { binding, done } = start({ batches: batches(5) }, async (event) => {
      open++;
      most = Math.max(most, open);
      await new Promise((resolve) => setTimeout(resolve, event.type === "batch" ? 3 : 0));
      open--;
    });
    await done;
    expect(most).toBe(1);
    expect(binding.left).toBe(0);
  });

  it("lets timers and signals run while batches keep coming", async () => {
    let ticks = 0;
    const spin = (ms: number) => {
      const until = performance.now() + ms;
      while (performance.now() < until);
    };
    const timer = setInterval(() => ticks++, 1);
    let ticksAtLastBatch = 0;
    const { done } = start({ batches: batches(20) }, (event) => {
      if (event.type !== "batch") return;
      spin(4);
      ticksAtLastBatch = ticks;
    });
    await done;
    clearInterval(timer);
    // without a pause there would be none; a busy machine gives few
    expect(ticksAtLastBatch).toBeGreaterThan(0);
  });

  for (const step of ["configure", "load", "attach", "activate", "deactivate", "finish"] as const) {
    it(`closes the session when ${step} fails, and passes the error on`, async () => {
      const error = nativeError("EPERM_BPF", "not allowed");
      const { binding, done } = start({ fail: { step, error } }, () => {});
      await expect(done).rejects.toBe(error);
      expect(binding.calls.at(-1)).toBe("close");
    });
  }

  it("closes the session when the consumer fails", async () => {
    const { binding, done } = start({ batches: batches(3) }, (event) => {
      if (event.type === "batch") throw new Error("no room");
    });
    await expect(done).rejects.toThrow("no room");
    expect(binding.calls.at(-1)).toBe("close");
  });

  it("records nothing when the end is asked for before events flow", async () => {
    const seen: string[] = [];
    const stop = new StopRequest();
    const binding = new FakeBinding({ during: { load: () => stop.request("interrupted") } });
    const config = { sources: ["cpu"] as const, frequencyHz: hertz(99), filters: {} };
    const result = await recordLive({
      binding,
      config,
      facts: fakeFacts(),
      stop,
      consume: (event) => {
        seen.push(event.type);
      },
    });
    expect(result).toBeUndefined();
    expect(seen).toEqual([]);
    expect(binding.calls).toEqual(["open", "configure", "load", "close"]);
  });

  it("keeps the first of several reasons", async () => {
    const stop = new StopRequest();
    stop.request("target exited");
    stop.request("duration");
    expect(stop.reason).toBe("target exited");
  });
});
