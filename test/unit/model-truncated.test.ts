// User stacks that ended early: found by what stands at their root, shown as [truncated], counted in samples.
import { expect, test } from "vitest";
import { SampleFlag } from "../../src/capture/binding.js";
import { isThreadEntry } from "../../src/model/entry-points.js";
import { buildProfile, samplesByStack } from "./helpers/build-profile.js";
import { FakeCapture, type FakeFrame, type FakeSampleOptions, j, k, u } from "./helpers/fake-capture.js";

const LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6";

function profileOf(stack: readonly FakeFrame[], options: FakeSampleOptions = {}) {
  const capture = new FakeCapture();
  const { thread } = capture.process(100, "app");
  capture.cpu(thread, stack, options);
  const profile = buildProfile(capture.events());
  return { stacks: Object.keys(samplesByStack(profile, "cpu")), users: profile.userStacks };
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
  expect(profile.userStacks).toEqual({ total: 7, truncated: 2 });
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
