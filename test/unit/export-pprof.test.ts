// pprof: read back by the reference reader (`go tool pprof`) and field by field with an independent schema.
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { writePprof } from "../../src/export/pprof.js";
import { buildProfile, HOSTILE_NAMES } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame, k, u } from "./helpers/fake-capture.js";
import { decode, goPprof } from "./helpers/pprof-tools.js";

const nginx: FakeFrame = { ...u("ngx_process_events"), buildId: "0123456789abcdef0123456789abcdef01234567" };

function recording() {
  const capture = new FakeCapture();
  const { process } = capture.process(4711, "nginx");
  const thread = capture.thread(process, 4712, "nginx-aio");
  capture.cpu(thread, [nginx, k("do_syscall_64"), k("tcp_sendmsg")], { times: 3, weightNs: 10_101_010 });
  capture.offcpu(thread, [u("_start"), k("schedule")], { durationNs: 2e9, state: "uninterruptible" });
  return buildProfile(capture.events());
}

test("go tool pprof lists functions with their times", async () => {
  const top = await goPprof(recording(), "cpu", "-top", "-unit=ns");
  expect(top).toContain("Type: cpu");
  expect(top).toMatch(/30303030ns\s+100%\s+100%\s+30303030ns\s+100%\s+tcp_sendmsg/);
  expect(top).toMatch(/0\s+0%\s+100%\s+30303030ns\s+100%\s+ngx_process_events/);
  expect(await goPprof(recording(), "offcpu", "-top")).toMatch(/Type: offcpu[\s\S]*2s\s+100%.*schedule/);
});

test("go tool pprof keeps names with templates and signatures whole, and their functions apart", async () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(4711, "app");
  const names = ["<t::Slow as t::Work>::run", "<t::Fast as t::Work>::run", "Eq::operator()(long) const"];
  for (const name of names) capture.cpu(thread, [u("main"), u(name)], { times: 2 });
  const top = await goPprof(buildProfile(capture.events()), "cpu", "-top");
  for (const name of names) expect(top).toContain(`  ${name}\n`);
});

test("go tool pprof shows stacks leaf first, labels, mappings and build IDs", async () => {
  const raw = await goPprof(recording(), "cpu", "-raw");
  expect(raw).toContain("samples/count cpu/nanoseconds");
  expect(raw).toContain("/usr/sbin/nginx 0123456789abcdef0123456789abcdef01234567");
  expect(raw).toMatch(/comm:\[nginx-aio\]/);
  expect(raw).toMatch(/pid:\[4711/);
  expect(raw).toMatch(/tid:\[4712/);
  const offcpu = await goPprof(recording(), "offcpu", "-raw");
  expect(offcpu).toContain("offcpu_samples/count offcpu/nanoseconds");
  expect(offcpu).toMatch(/state:\[uninterruptible\]/);
  const { sample, function: functions, stringTable } = await decode(recording(), "cpu");
  const nameOf = new Map(functions.map((f) => [f.id, stringTable[Number(f.name)]]));
  expect(sample[0]!.locationId.map((id) => nameOf.get(id))).toEqual([
    "tcp_sendmsg",
    "do_syscall_64",
    "ngx_process_events",
    "[truncated]",
  ]);
});

test("times are exact to the nanosecond", async () => {
  const decoded = await decode(recording(), "cpu");
  expect(decoded.timeNanos).toBe("1760000000123456789"); // above 2^53: a double would end in 784
  expect(decoded.durationNanos).toBe("10000000000");
  expect(decoded.period).toBe(String(Math.round(1e9 / 99)));
  expect(decoded.sample[0]!.value).toEqual(["3", "30303030"]);
});

test("waits for locks read like Go's own mutex profiles, with the lock as a label", async () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(80, "nginx");
  const stack = [u("_start"), k("pipe_write")];
  const named = capture.lock({ kind: "rwsem, write", name: "mmap_lock of nginx (pid 80)" });
  const unnamed = capture.lock({ kind: "mutex", address: 0xffff_8881_0b3d_e2c9n });
  // 1 ms kept one time in ten: 3 samples stand for 30 waits.
  capture.locks(thread, stack, { lock: named, durationNs: 1e6, weightNs: 10e6, times: 3 });
  capture.locks(thread, stack, { lock: unnamed, durationNs: 2e9 });
  const profile = buildProfile(capture.events());
  const raw = await goPprof(profile, "locks", "-raw");
  expect(raw).toContain("contentions/count delay/nanoseconds[dflt]");
  expect(raw).toMatch(/PeriodType: contentions count\nPeriod: 1/);
  expect(raw).toMatch(/\b30\s+30000000:/);
  expect(raw).toMatch(/lock:\[mmap_lock of nginx \(pid 80\)\]/);
  expect(raw).toMatch(/lock:\[0xffff88810b3de2c9\]/);
  expect(raw).toMatch(/lock_kind:\[rwsem, write\]/);
  expect(raw).not.toContain("state:");
  expect(await goPprof(profile, "locks", "-top")).toMatch(/Type: delay[\s\S]*2\.03s\s+100%.*pipe_write/);
  expect(await goPprof(profile, "locks", "-top", "-sample_index=contentions")).toMatch(
    /31\s+100%.*pipe_write/,
  );
});

test("a file holds only the functions of its own source", async () => {
  const decoded = await decode(recording(), "offcpu");
  expect(decoded.function.map((f) => decoded.stringTable[Number(f.name)])).toEqual(["_start", "schedule"]);
});

test("hostile names survive, and what is not Unicode becomes U+FFFD", async () => {
  const capture = new FakeCapture();
  const names = [...HOSTILE_NAMES, "lone \uD800 surrogate"];
  for (const [i, name] of names.entries())
    capture.cpu(capture.process(i + 1, name).thread, [u("_start"), u(name, `/srv/${name}`)]);
  const profile = buildProfile(capture.events());
  const decoded = await decode(profile, "cpu");
  for (const name of HOSTILE_NAMES) expect(decoded.stringTable).toContain(name);
  expect(decoded.stringTable).toContain("lone \uFFFD surrogate");
  const raw = await goPprof(profile, "cpu", "-raw");
  expect(raw).toContain("__proto__");
});

test("a source that saw nothing gives a valid profile without samples", async () => {
  const profile = buildProfile(new FakeCapture().events());
  expect((await decode(profile, "cpu")).sample).toEqual([]);
  expect(await goPprof(profile, "cpu", "-raw")).toContain("samples/count cpu/nanoseconds");
});

test("profiles larger than one piece come out whole", async () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(1, "go");
  const frames = Array.from({ length: 120 }, (_, i) => u(`runtime.function_with_a_long_name_${i}`));
  for (let i = 0; i < 6000; i++)
    capture.cpu(thread, [...frames.slice(0, 119), u(`leaf_${i}_${"x".repeat(100)}`)], { weightNs: 1 });
  const profile = buildProfile(capture.events());
  expect(gunzipSync(await writePprof(profile, "cpu")).length).toBeGreaterThan(1.5 * 2 ** 20);
  const { sample } = await decode(profile, "cpu");
  expect(sample).toHaveLength(6000);
  expect(new Set(sample.map((s) => s.locationId.length))).toEqual(new Set([121]));
  expect(await goPprof(profile, "cpu", "-top", "-unit=ns", "-nodecount=1")).toContain("6000ns total");
});

test("lowflame's own samples have a label that pprof can leave out", async () => {
  const capture = new FakeCapture();
  capture.cpu(capture.process(42, "node").thread, [u("_start"), u("serve")], { weightNs: 10 });
  capture.cpu(capture.process(43, "node", { self: true }).thread, [u("_start"), u("drain")], { weightNs: 5 });
  const profile = buildProfile(capture.events());
  const { sample, stringTable } = await decode(profile, "cpu");
  const labels = sample.map(({ label }) =>
    Object.fromEntries(label.map(({ key, str }) => [stringTable[Number(key)], stringTable[Number(str)]])),
  );
  expect(labels.map(({ process, self }) => [process, self])).toEqual([
    ["node", undefined],
    ["lowflame itself", "lowflame"],
  ]);
  const others = await goPprof(profile, "cpu", "-top", "-unit=ns", "-tagignore=self=lowflame");
  expect(others).toContain("serve");
  expect(others).not.toContain("drain");
});
