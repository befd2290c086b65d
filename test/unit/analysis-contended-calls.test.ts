// Socket calls that are now and then far longer than usual: contended where they are seen to spin, and healthy where not.
import { describe, expect, test } from "vitest";
import { analyze } from "../../src/analysis/analyze.js";
import type { FinalFacts } from "../../src/capture/binding.js";
import { ns } from "../../src/model/units.js";
import { b, FakeCapture, k, u } from "./helpers/fake-capture.js";
import { SYSCALL } from "./helpers/proxy-load.js";
import { callTotal, SYS, socketProfile } from "./helpers/socket-example.js";

const found = (rule: string, capture: FakeCapture, final: Partial<FinalFacts> = {}) =>
  analyze(socketProfile(capture, final)).filter((finding) => finding.rule === rule);

describe("contended-socket-call", () => {
  const quick = [[2_000, 50_000]] as const;
  const contended = [
    [4_000, 9_700],
    [400_000, 300],
  ] as const;
  function recorded(calls: readonly (readonly [number, number])[], others = quick as typeof calls) {
    const capture = new FakeCapture();
    const { process, thread } = capture.process(80, "proxy");
    const callTotals = [callTotal(process, SYS.sendto, calls), callTotal(process, SYS.recvfrom, others)];
    return { capture, thread, callTotals };
  }

  test("tells its tail beside its median, and with CPU samples what it spins on", () => {
    const { capture, thread, callTotals } = recorded(contended);
    const send = [u("main"), ...SYSCALL, k("__x64_sys_sendto"), k("tcp_sendmsg"), k("lock_sock_nested")];
    capture.cpu(thread, [...send, k("_raw_spin_lock_bh"), k("native_queued_spin_lock_slowpath")], {
      times: 30,
    });
    capture.cpu(thread, send, { times: 10 });
    const [finding] = found("contended-socket-call", capture, { callTotals });
    expect(finding!.title).toMatch(
      /^sendto of proxy \(pid 80\) is busy for \d+\.\d us once in a hundred calls, usually 3\.\d us: it spins in lock_sock_nested$/,
    );
    expect(finding!.detail).toContain("75.0 % of the call's CPU time spins for locks");
    expect(finding!.contributors[0]).toMatchObject({ name: "lock_sock_nested", share: 0.75 });
  });

  test("is proven by the kernel's account of its locks as well, where the timer sees nothing: a BPF program's map", () => {
    const { capture, thread, callTotals } = recorded(contended);
    const bucket = capture.lock({ kind: "spin lock" });
    const stack = (call: string) => [
      u("main"),
      ...SYSCALL,
      k(`__x64_sys_${call}`),
      b("bpf_prog_0123456789abcdef_agent_probe"),
      k("htab_map_update_elem"),
      k("resilient_queued_spin_lock_slowpath"),
    ];
    capture.locks(thread, stack("recvfrom"), { lock: bucket, durationNs: 300e3, times: 300 });
    expect(found("contended-socket-call", capture, { callTotals })).toEqual([]);
    capture.locks(thread, stack("sendto"), { lock: bucket, durationNs: 300e3, times: 300 });
    const [finding] = found("contended-socket-call", capture, { callTotals });
    expect(finding!.title).toMatch(/it spins in htab_map_update_elem in BPF program agent_probe$/);
    expect(finding!.detail).toMatch(
      /By the kernel's account of its locks \d+\.\d % of the busy time spins for them/,
    );
    // waits that make up little of the tail prove nothing
    const other = recorded(contended);
    const few = { lock: other.capture.lock({ kind: "spin lock" }), durationNs: 100e3, times: 20 };
    other.capture.locks(other.thread, stack("sendto"), few);
    expect(found("contended-socket-call", other.capture, { callTotals: other.callTotals })).toEqual([]);
  });

  test("counts waits for a mutex as spun as far as the call did not sleep for so long", () => {
    const ofMutex = (blocked: number) => {
      const { capture, thread, callTotals } = recorded(contended);
      const mutex = { lock: capture.lock({ kind: "mutex" }), durationNs: 400e3, times: 250 };
      capture.locks(thread, [...SYSCALL, k("__x64_sys_sendto"), k("rtnl_lock")], mutex);
      const [send, receive] = callTotals;
      return found("contended-socket-call", capture, {
        callTotals: [{ ...send!, blockedNs: ns(send!.blockedNs + blocked) }, receive!],
      });
    };
    expect(ofMutex(0)[0]!.title).toMatch(/it spins in rtnl_lock$/);
    // 100 ms of waits, of which 80 ms were slept: what is left does not explain the tail
    expect(ofMutex(80e6)).toEqual([]);
  });

  test("is none without proof: no CPU samples of it, or too few", () => {
    const { capture, thread, callTotals } = recorded(contended);
    expect(found("contended-socket-call", capture, { callTotals })).toEqual([]);
    capture.cpu(thread, [...SYSCALL, k("__x64_sys_recvfrom")], { times: 50 });
    const spin = [...SYSCALL, k("__x64_sys_sendto"), k("native_queued_spin_lock_slowpath")];
    capture.cpu(thread, spin, { times: 9 });
    expect(found("contended-socket-call", capture, { callTotals })).toEqual([]);
    capture.cpu(thread, spin);
    expect(found("contended-socket-call", capture, { callTotals })[0]!.next[0]).toContain(
      "lowflame record --what cpu,locks,sockets --pid 80",
    );
  });

  test("is none where a little spins, and the tail is work: a few calls that send far more", () => {
    const { capture, thread, callTotals } = recorded(contended);
    const send = [...SYSCALL, k("__x64_sys_sendto"), k("tcp_sendmsg")];
    capture.cpu(thread, [...send, k("copy_from_iter")], { times: 40 });
    capture.cpu(thread, [...send, k("native_queued_spin_lock_slowpath")], { times: 6 });
    expect(found("contended-socket-call", capture, { callTotals })).toEqual([]);
  });

  test("is none where CPU samples show work and no spinning", () => {
    const { capture, thread, callTotals } = recorded(contended);
    const copy = [...SYSCALL, k("__x64_sys_sendto"), k("tcp_sendmsg"), k("copy_from_iter")];
    capture.cpu(thread, copy, { times: 40 });
    expect(found("contended-socket-call", capture, { callTotals })).toEqual([]);
  });

  test.each([
    ["every call has the tail: it is the machine", contended, contended],
    [
      "the tail takes little of the time: interrupts",
      [
        [9_000, 9_850],
        [120_000, 150],
      ],
      quick,
    ],
    [
      "too few calls",
      [
        [4_000, 900],
        [400_000, 50],
      ],
      quick,
    ],
    [
      "a tail of ten times the median that nobody feels",
      [
        [1_500, 9_000],
        [20_000, 1_000],
      ],
      quick,
    ],
  ] as const)("is none: %s", (_, calls, others) => {
    const { capture, thread, callTotals } = recorded(calls, others);
    for (const call of ["sendto", "recvfrom"])
      capture.cpu(thread, [...SYSCALL, k(`__x64_sys_${call}`), k("native_queued_spin_lock_slowpath")], {
        times: 40,
      });
    expect(found("contended-socket-call", capture, { callTotals })).toEqual([]);
  });
});
