// What other tools print: wrk's text is a real run's, perf's is two real samples and a made-up name with a space.
import { describe, expect, test } from "vitest";
import { parsePerfScript, summarizePerf } from "../../support/perf-record.js";
import { parseWrk } from "../../support/wrk.js";

const WRK = `Running 1s test @ http://127.0.0.1:38531/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.63ms    2.05ms  13.39ms   88.41%
    Req/Sec    26.64k     3.22k   34.34k    90.00%
  Latency Distribution
     50%    1.10ms
     75%    1.56ms
     90%    4.01ms
     99%   10.06ms
  26892 requests in 1.02s, 30.11MB read
Requests/sec:  26454.05
Transfer/sec:     29.62MB
`;

describe("wrk", () => {
  test("rate and percentiles, in nanoseconds", () => {
    expect(parseWrk(WRK)).toEqual({
      requests: 26_892,
      requestsPerSecond: 26_454.05,
      p50Ns: 1_100_000,
      p90Ns: 4_010_000,
      p99Ns: 10_060_000,
      socketErrors: 0,
      badAnswers: 0,
    });
  });

  test("errors are summed, bad answers counted", () => {
    const failing = WRK.replace(
      "Requests/sec",
      "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 7\nRequests/sec",
    );
    expect(parseWrk(failing)).toMatchObject({ socketErrors: 4321, badAnswers: 7 });
  });

  test("no result is an error that holds what wrk said", () => {
    expect(() => parseWrk("unable to connect to 127.0.0.1:1 Connection refused")).toThrow(
      /Connection refused/,
    );
  });
});

describe("perf script", () => {
  const PERF = `swapper     0/0     [000]  3028.217063123: 
\tffffffff821f2c2b pv_native_safe_halt ([kernel.kallsyms])
\tffffffff821f4735 default_idle ([kernel.kallsyms])

getppid-loop 12541/12541 [001]  3028.217081456: 
\tffffffff81308620 read_tsc ([kernel.kallsyms])
\tffffffffc0025c07 bpf_prog_f862b899c8126801_sys_enter_getpp (bpf_prog_f862b899c8126801_sys_enter_getpp)
\tffffffff814bcc4e trace_call_bpf ([kernel.kallsyms])
\t    7f0c00101829 syscall (/usr/lib/x86_64-linux-gnu/libc.so.6)

two words 77/78 [001]  3029.000000001: 
\t            124e call(int, char) const (/tmp/two words)

`;
  const samples = parsePerfScript(PERF);

  test("process, thread, CPU, time and frames of each sample; names may hold spaces", () => {
    expect(samples.map((s) => [s.comm, s.pid, s.tid, s.cpu])).toEqual([
      ["swapper", 0, 0, 0],
      ["getppid-loop", 12541, 12541, 1],
      ["two words", 77, 78, 1],
    ]);
    expect(samples[1]!.timeNs).toBe(3_028_217_081_456);
    expect(samples[1]!.frames).toEqual([
      "read_tsc",
      "bpf_prog_f862b899c8126801_sys_enter_getpp",
      "trace_call_bpf",
      "syscall",
    ]);
    expect(samples[1]!.userFiles).toEqual(["/usr/lib/x86_64-linux-gnu/libc.so.6"]);
    expect(samples[2]).toMatchObject({
      frames: ["call(int, char) const"],
      userFiles: ["/tmp/two words"],
      userOffsets: [0x124e],
    });
  });

  test("the idle task is not busy; a program anywhere in the stack counts as inside BPF", () => {
    expect(summarizePerf(samples)).toMatchObject({ samples: 3, busy: 2, inBpf: 1, bpfShare: 0.5 });
    expect([...summarizePerf(samples).busyByCpu]).toEqual([[1, 2]]);
    expect(summarizePerf(samples, { toNs: 3_028_217_081_456 }).busy).toBe(0);
  });
});
