// User locks in every export, also from a saved capture: waits for locks, without condition variables and idle waits.
import { expect, test } from "vitest";
import { lockSummaries } from "../../src/analysis/lock-summary.js";
import { writeFolded } from "../../src/export/folded.js";
import { toDocument } from "../../src/export/html/from-profile.js";
import { writePprof } from "../../src/export/pprof.js";
import { writeSpeedscope } from "../../src/export/speedscope.js";
import { membersOf, readAll } from "../fixtures/captures/io.js";
import { buildProfile } from "./helpers/build-profile.js";
import { CONDITION, THREAD } from "./helpers/futex-example.js";
import { app, fakeApp, futexOf, WANTS } from "./helpers/futex-totals.js";
import { total } from "./helpers/lock-totals.js";
import { decode, goPprof } from "./helpers/pprof-tools.js";

/** Ten waits of 2 ms for a lock, 4 threads idle for 90 s, as events. */
function recording() {
  const server = fakeApp(5);
  const { capture, process, threads } = server;
  const lock = futexOf(server);
  const pool = futexOf(server, "user condition or idle wait", 0x7f0000000040n);
  capture.futex(threads[0]!, WANTS, { lock, durationNs: 1e6, weightNs: 5e6, times: 2 });
  capture.futexOwners(threads[1]!, [app("Cache::evict()")], {
    lock,
    state: "preempted",
    weightNs: 5e6,
    durationNs: 1e6,
  });
  const idle = [...THREAD, app("Pool::take()"), ...CONDITION];
  for (const thread of threads.slice(1)) capture.futex(thread, idle, { lock: pool, durationNs: 90e9 });
  const lockTotals = [total(lock, process, 10, 2e6, 3), total(pool, process, 4, 90e9)];
  return capture.events({ facts: { sources: ["futex"] }, final: { lockTotals } });
}

test("a saved capture gives what the recording gave: kinds, timeouts, owners, threads at once", async () => {
  const live = buildProfile(recording());
  const events = recording().filter((event) => event.type !== "damage");
  const saved = buildProfile(await readAll(Buffer.concat(await membersOf(events))));
  expect(lockSummaries(saved, "futex")).toEqual(lockSummaries(live, "futex"));
  expect(lockSummaries(saved, "futex")[1]).toMatchObject({
    count: 10,
    timeouts: 3,
    owners: [{ share: 0.5 }],
  });
  expect(saved.waitersAtOnce).toEqual(live.waitersAtOnce);
  expect(toDocument(saved, [])).toEqual(toDocument(live, []));
  expect(await writePprof(saved, "futex")).toEqual(await writePprof(live, "futex"));
});

test("pprof reads like Go's own mutex profiles, with the lock as a label", async () => {
  const profile = buildProfile(recording());
  const raw = await goPprof(profile, "futex", "-raw");
  expect(raw).toContain("contentions/count delay/nanoseconds[dflt]");
  expect(raw).toMatch(/PeriodType: contentions count\nPeriod: 1/);
  expect(raw).toMatch(/\b10\s+20000000:/);
  expect(raw).toMatch(/lock:\[futex 0x7f0000000000 of app \(pid 80\)\]/);
  expect(raw).toMatch(/lock_kind:\[user lock\]/);
  const decoded = await decode(profile, "futex");
  expect(decoded.sample).toHaveLength(1);
  expect(decoded.stringTable).not.toContain("Pool::take()");
  expect(decoded.stringTable.join("\n")).toContain("condition variables and idle waits are left out");
});

test("folded stacks and speedscope hold the same waits", () => {
  const profile = buildProfile(recording());
  const folded = Buffer.from(writeFolded(profile, "futex")).toString("utf8");
  expect(folded).toMatch(
    /^app;clone3;start_thread;Worker::run\(\);Cache::get\(Key const&\);.*;futex_wait 20000000\n$/,
  );
  const file = JSON.parse(Buffer.from(writeSpeedscope(profile, ["futex"])).toString("utf8"));
  expect(file.profiles).toMatchObject([{ name: "User locks (edge-1)", endValue: 20e6, weights: [20e6] }]);
});

test("where only condition variables were waited for, the exports are valid and empty", async () => {
  const server = fakeApp();
  const lock = futexOf(server, "user condition or idle wait");
  server.capture.futex(server.threads[0]!, [app("idle"), ...CONDITION], { lock });
  const profile = buildProfile(server.capture.events({ facts: { sources: ["futex"] } }));
  expect((await decode(profile, "futex")).sample).toEqual([]);
  expect(writeFolded(profile, "futex")).toHaveLength(0);
  expect(
    JSON.parse(Buffer.from(writeSpeedscope(profile, ["futex"])).toString("utf8")).profiles[0].samples,
  ).toEqual([]);
});
