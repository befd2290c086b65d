// User locks on the terminal and in --json: the worst five, condition variables and idle waits apart.
import { describe, expect, it } from "vitest";
import { digest } from "../../src/cli/digest.js";
import { summaryLines } from "../../src/cli/summary.js";
import { buildProfile } from "./helpers/build-profile.js";
import { FakeCapture } from "./helpers/fake-capture.js";
import { CONDITION, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, profileOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";

/** Seven locks, the first of which is the worst, and a condition variable that was waited for longer than all of them. */
function recorded(options: { cut?: boolean; locks?: number; hostile?: string } = {}) {
  const server = fakeApp(3);
  const { capture, process, threads } = server;
  const lockTotals = Array.from({ length: options.locks ?? 7 }, (_, n) => {
    const lock = futexOf(
      server,
      n === 1 ? "user lock, priority inheritance" : "user lock",
      0x1000n + BigInt(n),
    );
    for (const thread of threads.slice(1)) capture.futex(thread, WANTS, { lock, durationNs: 20e6 });
    return total(lock, process, 70 - n * 10, 2e6, n === 0 ? 3 : 0);
  });
  capture.futexOwners(threads[0]!, [app("Cache::evict()")], { lock: 1, durationNs: 20e6 });
  const pool = futexOf(server, "user condition or idle wait", 0x9000n);
  capture.futex(threads[2]!, [...THREAD, app("Pool::take()"), ...CONDITION], { lock: pool, durationNs: 9e9 });
  lockTotals.push(total(pool, process, 2, 9e9, 1), total(-3, -1, 5, 1e9));
  const own = capture.process(99, "lowflame", { self: true });
  lockTotals.push(total(1, own.process, 1000, 1e6));
  return profileOf(server, lockTotals, { cut: options.cut ?? false });
}

describe("the digest of user locks", () => {
  it("has locks with timeouts, threads and owners, the longest sum first, and conditions apart", () => {
    const { futex } = digest(recorded(), 3);
    expect(futex).toMatchObject({ exact: true, waits: 280, sumNs: 560e6, lockCount: 7 });
    expect(futex!.locks.map(({ address }) => address)).toEqual(["0x1000", "0x1001", "0x1002"]);
    expect(futex!.locks[0]).toMatchObject({
      name: "futex 0x1000 of app (pid 80)",
      kind: "user lock",
      waits: 70,
      sumNs: 140e6,
      timeouts: 3,
      waitingThreads: 2,
      waitersAtOnce: 2,
      waiters: [{ pid: 80, process: "app", waits: 70, sumNs: 140e6 }],
      callers: [{ name: "Cache::get(Key const&)", share: 1 }],
      owners: [{ name: "app (pid 80)", share: 1 }],
      samples: 2,
    });
    expect(futex!.conditions).toMatchObject({ waits: 7, sumNs: 23e9, lockCount: 2 });
    expect(futex!.conditions.locks).toMatchObject([
      { kind: "user condition or idle wait", timeouts: 1, callers: [{ name: "Pool::take()" }] },
      { kind: null, address: null, waits: 5 },
    ]);
  });

  it("is null where they were not recorded, and says when it only estimates", () => {
    expect(digest(buildProfile(new FakeCapture().events())).futex).toBeNull();
    const cut = digest(recorded({ cut: true })).futex!;
    expect(cut).toMatchObject({ exact: false, lockCount: 7 });
    expect(cut.locks[0]!.timeouts).toBeNull();
    const nobody = digest(profileOf(fakeApp(), [])).futex!;
    expect(nobody).toMatchObject({ exact: true, waits: 0, locks: [], conditions: { waits: 0, locks: [] } });
  });

  it("leaves kernel locks null where only user locks were recorded", () => {
    expect(digest(recorded()).locks).toBeNull();
  });
});

describe("the summary of user locks", () => {
  const lines = (profile = recorded(), width = 120) =>
    summaryLines(profile, [], { files: [], childCommand: null, width });

  it("is the worst five, with who wants them and who holds them; conditions are only counted", () => {
    const text = lines();
    const from = text.findIndex((line) => line.startsWith("User locks"));
    expect(text.slice(from, text.indexOf("", from))).toEqual([
      "User locks: the worst five of 280 waits for 7 locks, 560 ms",
      "    total       p99   longest  lock, kind, waits",
      "   140 ms   2.00 ms   2.00 ms  futex 0x1000 of app (pid 80), 70 waits",
      "                               wanted in Cache::get(Key const&) (100.0 %), held by app (pid 80) (100.0 %)",
      "                               3 timeouts, 2 threads or more at once",
      "   120 ms   2.00 ms   2.00 ms  futex 0x1001 of app (pid 80), 60 waits",
      "                               wanted in Cache::get(Key const&) (100.0 %)",
      "                               priority inheritance, 2 threads or more at once",
      "   100 ms   2.00 ms   2.00 ms  futex 0x1002 of app (pid 80), 50 waits",
      "                               wanted in Cache::get(Key const&) (100.0 %)",
      "                               2 threads or more at once",
      "  80.0 ms   2.00 ms   2.00 ms  futex 0x1003 of app (pid 80), 40 waits",
      "                               wanted in Cache::get(Key const&) (100.0 %)",
      "                               2 threads or more at once",
      "  60.0 ms   2.00 ms   2.00 ms  futex 0x1004 of app (pid 80), 30 waits",
      "                               wanted in Cache::get(Key const&) (100.0 %)",
      "                               2 threads or more at once",
      "Not in it: 7 waits for 2 condition variables, semaphores and other idle waits.",
    ]);
  });

  it("of a quiet thread pool says that nobody waited for a lock", () => {
    const text = lines(recorded({ locks: 0 }));
    expect(text).toContain("User locks: nobody waited for one.");
    expect(text).toContain("Besides: 7 waits for 2 condition variables, semaphores and other idle waits.");
    expect(text.join("\n")).not.toContain("Pool::take");
  });

  it("keeps to the width, and prints hostile names as text", () => {
    const server = fakeApp();
    const lock = server.capture.lock({ kind: "user lock", name: `\u001b[31m${"x".repeat(300)}` });
    server.capture.futex(server.threads[0]!, [app("\u0007\u202eevil"), ...WANTS.slice(-7)], { lock });
    const text = lines(profileOf(server, [total(lock, server.process, 3, 1e6)]), 80);
    for (const line of text.filter((each) => each.includes("x".repeat(9))))
      expect(line.length).toBeLessThan(81);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    expect(text.join("")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });
});
