// User stacks that ended early: found by what stands at their root, shown as [truncated], counted in samples.
import { expect, test } from "vitest";
import { SampleFlag, USER_STACK_ENDS, userEndFlags } from "../../src/capture/binding.js";
import { isThreadEntry } from "../../src/model/entry-points.js";
import { buildProfile, samplesByStack } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame, type FakeSampleOptions, j, k, u } from "./helpers/fake-capture.js";

const endCalled = (name: (typeof USER_STACK_ENDS)[number]) => USER_STACK_ENDS.indexOf(name);
const [WHOLE, TOO_DEEP, NO_RULE] = [endCalled("whole"), endCalled("too deep"), endCalled("no rule")];
const LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6";

function profileOf(stack: readonly FakeFrame[], options: FakeSampleOptions = {}) {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "app");
  capture.cpu(thread, stack, options);
  const profile = buildProfile(capture.events());
  const { total, truncated } = profile.userStacks;
  return { stacks: Object.keys(samplesByStack(profile, "cpu")), users: { total, truncated } };
}

test.each([
  "_start",
  "__libc_start_main@@GLIBC_2.34",
  "__libc_start_main_impl",
  "__libc_start_call_main",
  "start_thread",
  "clone",
  "__clone3",
  "__GI___clone",
  "runtime.goexit.abi0",
  "runtime.mstart",
  "runtime.mcall",
  "_rt0_amd64_linux",
])("%s is the entry of a thread", (name) => {
  expect(isThreadEntry(name)).toBe(true);
  expect(profileOf([u(name), u("f")])).toEqual({ stacks: [`${name};f`], users: { total: 1, truncated: 0 } });
});

test.each(["main", "clone_request", "start_thread_pool", "__proto__", "runtime.goexit0", ""])(
  "%j is not",
  (name) => {
    expect(isThreadEntry(name)).toBe(false);
  },
);

test("a user half that begins in the middle hangs below [truncated], kernel half included", () => {
  expect(profileOf([u("ngx_http_handler"), k("entry_SYSCALL_64_after_hwframe"), k("tcp_sendmsg")])).toEqual({
    stacks: ["[truncated];ngx_http_handler;entry_SYSCALL_64_after_hwframe;tcp_sendmsg"],
    users: { total: 1, truncated: 1 },
  });
});

test("the vdso and JIT code begin no thread", () => {
  const vdso: FakeFrame = { kind: "vdso", module: "[vdso]", name: "__vdso_clock_gettime" };
  expect(profileOf([vdso]).stacks).toEqual(["[truncated];__vdso_clock_gettime"]);
  expect(profileOf([j("_start")]).stacks).toEqual(["[truncated];_start"]);
});

test("a stack of a kernel thread has no user half, so nothing of it is missing", () => {
  expect(profileOf([k("ret_from_fork_asm"), k("kthread"), k("worker_thread")])).toEqual({
    stacks: ["ret_from_fork_asm;kthread;worker_thread"],
    users: { total: 0, truncated: 0 },
  });
});

test("in a stripped C library the nameless frame that calls into the program is the entry", () => {
  const main = profileOf([u("", LIBC, 0x2724an), u("main"), u("work")]);
  expect(main).toEqual({ stacks: ["libc.so.6+0x2724a;main;work"], users: { total: 1, truncated: 0 } });
  const thread = profileOf([u("", LIBC, 0x11c5cn), u("", LIBC, 0x89144n), u("worker"), k("futex_wait")]);
  expect(thread.stacks).toEqual(["libc.so.6+0x11c5c;libc.so.6+0x89144;worker;futex_wait"]);
});

test("in a stripped C library a nameless frame without a caller is a stack that ended early", () => {
  expect(profileOf([u("", LIBC, 0x2724an)]).stacks).toEqual(["[truncated];libc.so.6+0x2724a"]);
  expect(profileOf([u("", LIBC, 0x2724an), k("do_syscall_64")]).stacks).toEqual([
    "[truncated];libc.so.6+0x2724a;do_syscall_64",
  ]);
  expect(profileOf([u("", LIBC, 0x10n), u("read", LIBC)]).stacks).toEqual([
    "[truncated];libc.so.6+0x10;read",
  ]);
});

test("a stack deeper than the buffer is truncated even if an entry point stands at its top", () => {
  expect(profileOf([u("_start"), u("f")], { flags: SampleFlag.userTruncated })).toEqual({
    stacks: ["[truncated];_start;f"],
    users: { total: 1, truncated: 1 },
  });
});

test.each([SampleFlag.userMissing, SampleFlag.userUnreadable])(
  "a user half that is not there at all is said (flag %d)",
  (flags) => {
    expect(profileOf([k("do_syscall_64"), k("vfs_read")], { flags }).stacks).toEqual([
      "[user stack missing];do_syscall_64;vfs_read",
    ]);
    expect(profileOf([], { flags }).stacks).toEqual(["[user stack missing]"]);
    // The call chain's own user half may stand in for the one that was lost.
    expect(profileOf([u("_start"), u("f")], { flags }).stacks).toEqual(["_start;f"]);
  },
);

test("whole and truncated samples of one stack stay apart", () => {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "app");
  capture.cpu(thread, [u("_start"), u("f")], { times: 5 });
  capture.cpu(thread, [u("_start"), u("f")], { times: 2, flags: SampleFlag.userTruncated });
  const profile = buildProfile(capture.events());
  expect(samplesByStack(profile, "cpu")).toEqual({ "_start;f": 5, "[truncated];_start;f": 2 });
  expect(profile.userStacks).toEqual({
    ...{ total: 7, truncated: 2 },
    ends: [
      { source: "cpu", end: WHOLE, count: 5 },
      { source: "cpu", end: TOO_DEEP, count: 2 },
    ],
    cutPrograms: [{ name: "app", pid: 100, end: TOO_DEEP, count: 2 }],
  });
});

test("what unwind tables led down to a thread's first frame is whole, whatever that is called", () => {
  const flags = SampleFlag.userWhole;
  expect(profileOf([u("my_entry"), u("work"), k("tcp_sendmsg")], { flags })).toEqual({
    stacks: ["my_entry;work;tcp_sendmsg"],
    users: { total: 1, truncated: 0 },
  });
  expect(profileOf([u(undefined, LIBC), u("work")], { flags }).users).toEqual({ total: 1, truncated: 0 });
  expect(profileOf([k("worker_thread")], { flags }).stacks).toEqual(["worker_thread"]);
});

test("what a walk by tables was cut short for is told, but a thread's entry has no caller", () => {
  const cut = (stack: readonly FakeFrame[], end: (typeof USER_STACK_ENDS)[number]) =>
    profileOf(stack, { flags: userEndFlags(endCalled(end)) }).users.truncated;
  expect(cut([u("my_entry"), u("work")], "no rule")).toBe(1);
  expect(cut([u("_start"), u("work")], "no rule")).toBe(0);
  // tables lead through the C library to a thread's first frame: ending within it, they did not come there
  const inLibc = [u("", LIBC, 0x2724an), u("compare"), u("work")];
  expect(cut(inLibc, "no rule")).toBe(1);
  expect(cut(inLibc, "guessed")).toBe(1);
  // frame pointers that were followed for want of tables leave functions out: their stacks are not whole anywhere
  for (const end of ["process not known", "mapping not known", "table not loaded", "out of time"] as const)
    for (const stack of [inLibc, [u("_start"), u("work")]]) expect(cut(stack, end), end).toBe(1);
});

test("ends by source and program add up to all stacks, calls on sockets among them", () => {
  const capture = new FakeCapture();
  const [one, two, other] = [
    capture.process(1, "one"),
    capture.process(2, "one"),
    capture.process(3, "other"),
  ];
  const entry = [u("_start"), u("f")];
  const cut = [u("lost"), u("f")];
  const flags = userEndFlags(NO_RULE);
  capture.cpu(one.thread, entry, { times: 5, flags: SampleFlag.userWhole | userEndFlags(WHOLE) });
  capture.cpu(one.thread, entry, { times: 4, flags });
  capture.cpu(one.thread, cut, { times: 3, flags });
  capture.cpu(two.thread, cut, { times: 2, flags });
  capture.cpu(other.thread, cut, { flags: userEndFlags(endCalled("guessed")) });
  capture.cpu(other.thread, cut, { flags: 0 });
  capture.cpu(other.thread, [k("worker")], { times: 9, flags });
  capture.offcpu(two.thread, cut, { flags });
  capture.slowCall(other.thread, cut, { flags });
  capture.slowCall(other.thread, entry, { flags: SampleFlag.spins | SampleFlag.userWhole });
  const profile = buildProfile(capture.events());
  const { total, truncated, ends, cutPrograms } = profile.userStacks;
  expect(ends).toEqual([
    { source: "cpu", end: WHOLE, count: 9 },
    { source: "cpu", end: NO_RULE, count: 5 },
    { source: "cpu", end: -1, count: 1 },
    { source: "cpu", end: endCalled("guessed"), count: 1 },
    { source: "offcpu", end: NO_RULE, count: 1 },
    { source: "sockets", end: WHOLE, count: 1 },
    { source: "sockets", end: NO_RULE, count: 1 },
  ]);
  expect([total, truncated]).toEqual([19, 9]);
  expect(cutPrograms).toEqual([
    { name: "one", pid: 0, end: NO_RULE, count: 6 },
    { name: "other", pid: 3, end: -1, count: 1 },
    { name: "other", pid: 3, end: NO_RULE, count: 1 },
    { name: "other", pid: 3, end: endCalled("guessed"), count: 1 },
  ]);
  // and to what hangs below [truncated]
  const below = Object.entries(samplesByStack(profile, "cpu")).filter(([path]) =>
    path.startsWith("[truncated]"),
  );
  expect(below.map(([, samples]) => samples)).toEqual([7]);
  // how a walk ended is no bit of a row
  for (const table of profile.weights) for (const bits of table.flags) expect(bits >> 16).toBe(0);
});
