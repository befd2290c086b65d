// Check of in-kernel-check.mjs on someone else's tracing: a kretprobe whose runs all write one hash map, under TCP load.

import { lockSummaries } from "../../dist/analysis/lock-summary.js";
import {
  background,
  counted,
  expect,
  file,
  loadedPrograms,
  lowflame,
  profileOf,
  programs,
  until,
} from "./in-kernel.mjs";

/** One element of one map for all CPUs: each run takes the same bucket's lock. */
const SCRIPT = 'kretprobe:tcp_sendmsg { @last["sent"] = nsecs; } BEGIN { printf("attached\\n"); }';

export const tracerChecks = [
  [
    "someone else's kretprobe is named, with its owner and the lock of its map",
    async () => {
      const tracer = background("bpftrace", ["-e", SCRIPT]);
      try {
        await until(() => tracer.said().includes("attached"), 40_000, "word of bpftrace");
        // The load only now: QEMU crashes guests that change code (a probe does) which runs on other CPUs at that moment,
        // and beside four busy threads lowflame takes half a minute to start.
        const load = `${programs}/tcp-loop --ms 4000 > ${file("tcp.txt")}`;
        const outputs = ["-o", file("k.lowflame")];
        const json = lowflame(
          "record",
          "-d",
          "60s",
          "--what",
          "cpu,offcpu,locks",
          ...outputs,
          "--",
          "bash",
          "-c",
          load,
        );
        // nobody else traces in the guest
        const probe = loadedPrograms().find(({ type }) => type === "kprobe");
        expect(probe, "bpftool shows no kprobe program: bpftrace is gone");
        const report = lowflame("report", file("k.lowflame"), "-o", file("k.html"));
        for (const { findings } of [json, report]) {
          const found = findings.filter(({ rule }) => rule === "foreign-bpf");
          const mine = found.find(({ culprit }) => culprit === probe.name);
          const others = findings.map(({ title }) => title).join("; ");
          expect(mine, `no finding names ${probe.name}; there are: ${others || "none"}`);
          expect(mine.title.includes("bpftrace"), `the owner is not named: ${mine.title}`);
          expect(found.length === 1, `there is one tracer, and more are told of: ${others}`);
        }
        expect(
          report.locks.waits === json.locks.waits,
          `${report.locks.waits} waits in the report, ${json.locks.waits} in the recording`,
        );
        const profile = await profileOf(file("k.lowflame"));
        const { sent } = counted("tcp.txt");
        const runs = profile.final.otherPrograms.find(({ id }) => id === probe.id)?.runs;
        // counted in the first five seconds and in windows after that, and scaled to the whole
        expect(
          runs < sent * 1.15 && runs > sent * 0.85,
          `${runs} runs of the program by the statistics, ${sent} calls made`,
        );
        const locks = lockSummaries(profile);
        const name = `bucket lock of a BPF hash map (program ${probe.name})`;
        const bucket = locks.find((lock) => lock.name === name);
        const there = locks.slice(0, 5).map((lock) => `${lock.kind} "${lock.name}"`);
        expect(bucket?.kind === "spin lock", `no ${name}; there are: ${there.join(", ") || "none"}`);
        const { title } = report.findings.find(({ culprit }) => culprit === probe.name);
        return `${title}; ${runs} runs of ${sent}; ${bucket.name}, ${bucket.count} waits`;
      } finally {
        await tracer.stop("SIGINT");
      }
    },
  ],
];
