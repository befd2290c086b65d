#!/usr/bin/env node
// Checks lowflame on the kernel that it runs on: what it records against what programs of known behaviour counted
// themselves. For scripts/kernel-matrix, in a guest; wants root, four CPUs, bpftool, bpftrace and the test programs.
// Timing in an emulated guest says nothing about speed, so bounds are on shares and counts.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, statSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { OFFCPU_STATES } from "../dist/capture/binding.js";
import { readCapture } from "../dist/capture/file/reader.js";
import { ProfileBuilder } from "../dist/model/build.js";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const main = join(root, "dist/cli/main.js");
const programs = join(root, "build/test-programs");
const dir = mkdtempSync(join(tmpdir(), "lowflame-check-"));
const file = (name) => join(dir, name);
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Runs lowflame to its end; gives its JSON document and what else it said. */
function lowflame(command, ...args) {
  const done = spawnSync(process.execPath, [main, command, "--json", ...args], {
    encoding: "utf8",
    timeout: 90_000,
  });
  let json;
  try {
    json = JSON.parse(done.stdout);
  } catch {
    throw new Error(`lowflame ${command} printed no JSON, exit ${done.status}: ${lastWords(done.stderr)}`);
  }
  if (done.status !== 0 || !json.ok)
    throw new Error(
      `lowflame ${command}: exit ${done.status}, ${json.error?.message ?? lastWords(done.stderr)}`,
    );
  return json;
}
const lastWords = (text) => text.trim().split("\n").slice(-3).join(" / ").slice(0, 500) || "no word";

/** Starts a background command in a process group of its own; `stop` ends the whole group. */
function background(command, args) {
  const child = spawn(command, args, { detached: true, stdio: ["ignore", "pipe", "inherit"] });
  let out = "";
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  const ended = new Promise((done) => child.on("exit", done));
  return {
    said: () => out,
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal);
      await ended;
    },
  };
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
async function until(condition, ms, what) {
  for (const end = Date.now() + ms; !condition(); await sleep(100))
    if (Date.now() > end) throw new Error(`no ${what} in ${ms / 1000} s`);
}

function expect(holds, text) {
  if (!holds) throw new Error(text);
}
const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
/** The last line that a program of test/programs printed: what it counted itself. */
const counted = (name) => JSON.parse(readFileSync(file(name), "utf8").trim().split("\n").at(-1));
const loss = (json, id) => json.losses.find((row) => row.id === id)?.count;

async function profileOf(capture) {
  const builder = new ProfileBuilder();
  for await (const event of readCapture(capture)) builder.add(event);
  return builder.build();
}

/** Rows of one source: thread, stack from the root to the leaf, weight. */
function rowsOf(profile, source) {
  const table = profile.weights.find((weights) => weights.source === source);
  expect(table, `the capture holds no ${source} samples`);
  return Array.from({ length: table.count }, (_, i) => {
    const stack = [];
    const kinds = new Set();
    for (let node = table.node[i]; node !== 0; node = profile.tree.parent[node]) {
      stack.unshift(profile.functions.name[profile.tree.func[node]]);
      kinds.add(profile.functions.kind[profile.tree.func[node]]);
    }
    const tid = profile.threads[table.thread[i]]?.tid;
    const [weightNs, samples, state] = [table.weightNs[i], table.samples[i], table.state[i]];
    return { tid, stack, kinds, weightNs, samples, state };
  });
}
const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);

const ownPrograms = () =>
  JSON.parse(spawnSync("bpftool", ["-j", "prog", "show"], { encoding: "utf8" }).stdout).filter((program) =>
    program.name?.startsWith("lf_"),
  );

/** What `record --json` said of the recording that several checks look at. */
let recorded;

/** Each gives a line on what it saw, or throws what is wrong. */
const checks = [
  [
    "doctor says that record works, and names the fallbacks",
    () => {
      const { rows } = lowflame("doctor");
      const missing = rows.filter((row) => row.status === "missing");
      expect(
        missing.length === 0,
        `missing: ${missing.map((row) => `${row.title}: ${row.found}`).join("; ")}`,
      );
      // BTF keeps names as zero-terminated strings, so the kernel's own table tells what it has
      const has = readFileSync("/sys/kernel/btf/vmlinux").includes("\0btf_trace_sched_exit_tp\0");
      const row = rows.find(({ id }) => id === "tp_btf.sched_exit_tp" || id === "tp_btf.sched_switch");
      const wanted = has ? "ok" : "degraded";
      expect(row?.status === wanted, `switch tracing is ${row?.status}, with sched_exit_tp=${has}`);
      expect(has || /sched_exit_tp/.test(row.found), `the fallback is not named: ${row.found}`);
      return rows
        .filter(({ status }) => status !== "ok")
        .map(({ id, status }) => `${id} ${status}`)
        .join(", ");
    },
  ],
  [
    "record sees where CPU time goes: functions, shares, user and kernel frames",
    async () => {
      const shell = `${programs}/known-cpu --ms 2500 --threads 2 > ${file("cpu.txt")}; ${programs}/known-sleep > ${file("sleep.txt")}`;
      const outputs = ["-o", file("x.lowflame"), "-o", file("x.html")];
      recorded = lowflame("record", "-d", "60s", ...outputs, "--", "bash", "-c", shell);
      expect(recorded.recording.complete, "the recording is not complete");
      const rows = rowsOf(await profileOf(file("x.lowflame")), "cpu");
      const { functions, cpuNs } = counted("cpu.txt");
      const mine = rows.filter(({ stack }) => stack.includes("burn_in_shares"));
      const seenNs = sum(mine, "weightNs");
      // a host that is busy takes timer ticks from the guest, so the sum may be short; it must not be more
      expect(seenNs > 0.4 * cpuNs && seenNs < 1.15 * cpuNs, `${seenNs} ns seen of ${cpuNs} ns`);
      const shares = Object.entries(functions).map(([name, ns]) => {
        const part = sum(
          mine.filter(({ stack }) => stack.includes(name)),
          "weightNs",
        );
        expect(
          Math.abs(part / seenNs - ns / cpuNs) < 0.1,
          `${name}: ${percent(part, seenNs)} seen, ${percent(ns, cpuNs)} true`,
        );
        return `${name} ${percent(part, seenNs)} of ${percent(ns, cpuNs)}`;
      });
      expect(
        rows.some(({ kinds }) => kinds.has("kernel") && kinds.has("user")),
        "no sample has kernel and user frames",
      );
      return shares.join(", ");
    },
  ],
  [
    "record counts sleeps as the sleepers did: number, length, kernel and user stack",
    async () => {
      const profile = await profileOf(file("x.lowflame"));
      const rows = rowsOf(profile, "offcpu");
      const { sleepers } = counted("sleep.txt");
      const told = [];
      for (const s of sleepers.filter(({ lengthNs }) => lengthNs >= 10e6)) {
        const mine = rows.filter(({ tid, state }) => tid === s.tid && OFFCPU_STATES[state] === s.state);
        const [samples, weight] = [sum(mine, "samples"), sum(mine, "weightNs")];
        // waits this long are never thinned out, whatever the load; the shorter ones are, and weigh the more
        const exact = s.lengthNs >= 300e6;
        if (exact) expect(samples === s.count, `${s.name}: ${samples} waits seen, ${s.count} true`);
        const bound = exact ? 0.1 : 0.2;
        const off = Math.abs(weight / s.measuredNs - 1);
        expect(off < bound, `${s.name}: ${weight} ns seen, ${s.measuredNs} ns true`);
        const whole = mine.some(({ kinds }) => kinds.has("kernel") && kinds.has("user"));
        expect(whole, `${s.name}: no stack with kernel and user frames`);
        told.push(`${s.name} ${percent(weight, s.measuredNs)} of its time`);
      }
      expect(told.length > 3, "known-sleep has no long sleepers");
      // the exact account by process: all that the threads did, and what feeds and joins them
      const pid = sleepers[0].pid;
      const asleep = sleepers.filter((s) => s.pid === pid && s.state === "interruptible");
      const totals = profile.final.offcpuTotals.filter(
        (t) => profile.processes[t.process]?.pid === pid && OFFCPU_STATES[t.state] === "interruptible",
      );
      const [waits, switches] = [sum(totals, "count"), sum(asleep, "voluntarySwitches")];
      const near = waits >= switches && waits < sum(asleep, "count") + 100;
      expect(near, `${waits} waits counted, ${switches} switches by the kernel's own count`);
      return `${waits} waits, ${switches} of them the sleepers' own; ${told.join(", ")}`;
    },
  ],
  [
    "report makes the same figures and a page from the capture",
    () => {
      const again = lowflame("report", file("x.lowflame"), "-o", file("again.html"));
      for (const [now, then, what] of [
        [again.cpu.samples, recorded.cpu.samples, "CPU samples"],
        [again.offcpu.samples, recorded.offcpu.samples, "waits"],
      ])
        expect(now === then && now > 0, `${now} ${what} in the report, ${then} in the recording`);
      const page = readFileSync(file("again.html"), "utf8");
      const whole = page.startsWith("<!doctype html>") && page.trimEnd().endsWith("</html>");
      expect(whole, `the page is not whole: ${page.length} characters`);
      return `${again.cpu.samples} samples, ${again.offcpu.samples} waits, ${statSync(file("x.html")).size} bytes of page`;
    },
  ],
  [
    "nothing stays in the kernel",
    () => {
      const left = ownPrograms().map(({ name }) => name);
      expect(left.length === 0, `still loaded: ${left.join(", ")}`);
      const stats = readFileSync("/proc/sys/kernel/bpf_stats_enabled", "utf8").trim();
      expect(stats === "0", `kernel.bpf_stats_enabled is ${stats}`);
      return "no lf_* program, bpf_stats_enabled 0";
    },
  ],
  [
    "a CPU that goes away and comes back: counted, and sampled again",
    async () => {
      const switchCpu = (on) => `echo ${on} > /sys/devices/system/cpu/cpu3/online`;
      const shell = `sleep 1; ${switchCpu(0)}; sleep 3; ${switchCpu(1)}; sleep 3; taskset -c 3 ${programs}/known-cpu --ms 1500 > ${file("three.txt")}`;
      const json = lowflame(
        "record",
        "-d",
        "60s",
        "--what",
        "cpu",
        "--cpu",
        "3",
        "-o",
        file("h.lowflame"),
        "--",
        "bash",
        "-ec",
        shell,
      );
      expect(json.childCommand.exitCode === 0, `the command failed with ${json.childCommand.exitCode}`);
      expect(loss(json, "cpu.hotplug") === 2, `cpu.hotplug is ${loss(json, "cpu.hotplug")}, not 2`);
      const mine = rowsOf(await profileOf(file("h.lowflame")), "cpu").filter(({ stack }) =>
        stack.includes("burn_in_shares"),
      );
      const { cpuNs } = counted("three.txt");
      expect(
        sum(mine, "weightNs") > 0.6 * cpuNs,
        `${sum(mine, "weightNs")} ns seen of ${cpuNs} ns after the return`,
      );
      return `cpu.hotplug 2, ${percent(sum(mine, "weightNs"), cpuNs)} of the time seen after the return`;
    },
  ],
  [
    "someone else's kretprobe is named, with its owner",
    async () => {
      // one hash for all CPUs, which all of them update at each read
      const script =
        'kretprobe:vfs_read { @reads[0] = count(); @bytes[pid % 4] = sum(retval); } BEGIN { printf("attached\\n"); }';
      const tracer = background("bpftrace", ["-e", script]);
      let load;
      try {
        await until(() => tracer.said().includes("attached"), 40_000, "word of bpftrace");
        // only now: QEMU crashes guests that change code (a probe does) which runs on other CPUs at that moment
        load = background("bash", [
          "-c",
          "for i in 1 2 3; do dd if=/dev/zero of=/dev/null bs=1 count=1000000000 2>/dev/null & done; wait",
        ]);
        const json = lowflame("record", "-d", "4s", "--what", "cpu", "-o", file("k.lowflame"));
        const shown = JSON.parse(spawnSync("bpftool", ["-j", "prog", "show"], { encoding: "utf8" }).stdout);
        // nobody else traces in the guest
        const probe = shown.find(({ type }) => type === "kprobe");
        expect(probe, "bpftool shows no kprobe program: bpftrace is gone");
        const report = lowflame("report", file("k.lowflame"), "-o", file("k.html"));
        for (const { findings } of [json, report]) {
          const found = findings.find(
            ({ rule, culprit }) => rule === "foreign-bpf" && culprit === probe.name,
          );
          const others = findings.map(({ title }) => title).join("; ");
          expect(found, `no finding names ${probe.name}; there are: ${others || "none"}`);
          expect(found.title.includes("bpftrace"), `the owner is not named: ${found.title}`);
        }
        return report.findings.find(({ culprit }) => culprit === probe.name).title;
      } finally {
        await load?.stop("SIGKILL");
        await tracer.stop("SIGINT");
      }
    },
  ],
];

let failed = 0;
console.log(`Linux ${release()}`);
for (const [name, check] of checks) {
  const from = Date.now();
  try {
    const told = await check();
    console.log(`ok    ${name} (${((Date.now() - from) / 1000).toFixed(1)} s)\n      ${told}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n      ${error instanceof Error ? error.message : error}`);
  }
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
