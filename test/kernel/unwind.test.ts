// User stacks of programs without frame pointers, walked by unwind tables: whole from the first samples on, whatever
// comes during the recording, and within a budget of kernel memory.
import { afterAll, beforeAll, expect, test } from "vitest";
import { SampleFlag } from "../../src/capture/binding.js";
import type { Profile } from "../../src/model/profile.js";
import { bytes, hertz } from "../../src/model/units.js";
import { userStackEnd } from "../../src/model/user-stacks.js";
import { startProgram } from "../support/programs.js";
import { loss, type Row, recordWhile, rowsOf, sleep, sum } from "../support/record.js";
import { type ProxyPair, startNginxProxy } from "../support/servers.js";
import { startWrk } from "../support/wrk.js";

let nginx: ProxyPair;
beforeAll(async () => {
  nginx = await startNginxProxy();
});
afterAll(() => nginx.stop());

/** Samples whose stack goes down to the start of its thread, and all of them; those alone that have a user half. */
function wholeOf(rows: readonly Row[]) {
  const user = rows.filter((row) => row.kinds.includes("user") && row.stack[0] !== "[user stack missing]");
  return {
    all: sum(user, (row) => row.samples),
    whole: sum(
      user.filter((row) => row.stack[0] !== "[truncated]"),
      (row) => row.samples,
    ),
  };
}

const endsOf = ({ userStacks }: Profile, source: string) =>
  Object.fromEntries(
    userStacks.ends.filter((row) => row.source === source).map((row) => [userStackEnd(row.end), row.count]),
  );

test("nginx as Debian builds it, under load: 99 of 100 stacks are whole", async () => {
  const load = startWrk(nginx.url, { seconds: 20, connections: 32 });
  await sleep(500);
  const { profile, final } = await recordWhile({ frequencyHz: hertz(999) }, () => sleep(2_500));
  await load.stop();
  const pids = nginx.pids();
  for (const source of ["cpu", "offcpu"] as const) {
    const rows = rowsOf(profile, source).filter((row) => pids.includes(row.pid));
    const { all, whole } = wholeOf(rows);
    expect(all, source).toBeGreaterThan(100);
    expect(whole / all, JSON.stringify(endsOf(profile, source))).toBeGreaterThanOrEqual(0.99);
    // through nginx's own code, not from one of its frames to a chance value
    const deep = rows.filter((row) => row.kinds.filter((kind) => kind === "user").length >= 5);
    expect(sum(deep, (row) => row.samples) / all, source).toBeGreaterThan(0.9);
  }
  expect(final.userStacks!.tables).toBeGreaterThan(5);
  expect(endsOf(profile, "cpu").whole).toBeGreaterThan(100);
});

test("of the first stacks of a recording under load 99 of 100 are whole", async () => {
  const load = startWrk(nginx.url, { seconds: 60, connections: 32 });
  await sleep(500);
  const { profile, events } = await recordWhile({ frequencyHz: hertz(999) }, () => sleep(2_000));
  await load.stop();
  const pids = nginx.pids();
  const seen: { timeNs: number; whole: boolean }[] = [];
  for (const samples of events.flatMap((e) => (e.type === "batch" ? e.batch.samples : [])))
    for (let i = 0; i < samples.count; i++) {
      const thread = profile.threads[samples.thread[i]!];
      const pid = thread && profile.processes[thread.process]?.pid;
      if (pid === undefined || !pids.includes(pid) || samples.flags[i]! & SampleFlag.inProgress) continue;
      seen.push({ timeNs: samples.timeNs[i]!, whole: (samples.flags[i]! & SampleFlag.userWhole) !== 0 });
    }
  const first = seen.sort((a, b) => a.timeNs - b.timeNs).slice(0, 200);
  expect(first.length).toBeGreaterThanOrEqual(100);
  const cut = first.filter(({ whole }) => !whole).length;
  expect(cut / first.length, JSON.stringify(profile.userStacks)).toBeLessThanOrEqual(0.01);
});

test("frame pointers alone see hardly any of it", async () => {
  const load = startWrk(nginx.url, { seconds: 20, connections: 32 });
  await sleep(500);
  const config = { frequencyHz: hertz(199), unwind: false, sources: ["cpu"] } as const;
  const { profile, final } = await recordWhile(config, () => sleep(1_000));
  await load.stop();
  const { all, whole } = wholeOf(rowsOf(profile, "cpu").filter((row) => nginx.pids().includes(row.pid)));
  expect(all).toBeGreaterThan(50);
  expect(whole / all).toBeLessThan(0.5);
  expect(final.userStacks).toBeUndefined();
});

test("a fork, a library that is opened and an exec during the recording: whole within 100 ms", async () => {
  const program = await startProgram("late-code", { hold: true, args: ["--ms", "1000"] });
  const { profile } = await recordWhile({ frequencyHz: hertz(499), sources: ["cpu"] }, async () => {
    program.go();
    await program.result();
  });
  const rows = rowsOf(profile, "cpu");
  for (const part of ["burn_in_child", "burn_in_library", "burn_after_exec"]) {
    const seen = rows.filter((row) => row.stack.includes(part));
    const whole = seen.filter((row) => row.stack[0] !== "[truncated]");
    const [seenNs, wholeNs] = [seen, whole].map((some) => sum(some, (row) => row.weightNs));
    expect(wholeNs, part).toBeGreaterThan(0.8e9);
    expect(seenNs! - wholeNs!, `${part}: ${JSON.stringify(endsOf(profile, "cpu"))}`).toBeLessThanOrEqual(1e8);
    for (const row of whole) expect(row.stack.slice(0, row.stack.indexOf(part)), part).toContain("main");
  }
  // the library's own frames are walked through, and are not the last that is known
  expect(rows.some((row) => row.stack.includes("burn_in_library") && row.stack.includes("crc32_z"))).toBe(
    true,
  );
});

test("a program that starts during the recording: while its tables are on their way hardly a stack ends without a rule", async () => {
  const config = { frequencyHz: hertz(999), sources: ["cpu"], comms: ["late-code"] } as const;
  const { profile } = await recordWhile(config, async () => {
    for (let i = 0; i < 3; i++) await (await startProgram("late-code", { args: ["--ms", "200"] })).result();
  });
  const { whole = 0, ...cut } = endsOf(profile, "cpu");
  expect(whole).toBeGreaterThan(300);
  // 16 of 600, each time, where a table comes before the facts of its file
  expect(cut["no rule"] ?? 0, JSON.stringify(cut)).toBeLessThan(0.01 * whole);
});

test("of a budget of 1 MiB nothing more is used; what found no room is counted", async () => {
  const load = startWrk(nginx.url, { seconds: 20, connections: 32 });
  const config = { frequencyHz: hertz(199), unwindBytes: bytes(2 ** 20) };
  const { final, profile } = await recordWhile(config, () => sleep(2_500));
  await load.stop();
  const { tableBytes } = final.userStacks!;
  expect(tableBytes).toBeGreaterThan(0);
  expect(tableBytes).toBeLessThanOrEqual(2 ** 20);
  expect(loss(final, "unwind.tables_left_out")).toBeGreaterThan(0);
  // what is busy has its tables before what is not
  const { all, whole } = wholeOf(rowsOf(profile, "cpu").filter((row) => nginx.pids().includes(row.pid)));
  expect(all).toBeGreaterThan(100);
  expect(whole / all, JSON.stringify(profile.userStacks)).toBeGreaterThan(0.5);
});
