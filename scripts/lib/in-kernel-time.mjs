// Checks of in-kernel-check.mjs on CPU and waiting time: doctor, record, report, and a CPU that goes and comes back.
import { readFileSync, statSync } from "node:fs";
import { OFFCPU_STATES } from "../../dist/capture/binding.js";
import {
  btfHas,
  counted,
  expect,
  file,
  loss,
  lowflame,
  percent,
  profileOf,
  programs,
  rowsOf,
  sum,
} from "./in-kernel.mjs";

/** What `record --json` said of the recording that several checks look at. */
let recorded;

/** Each gives a line on what it saw, or throws what is wrong. */
export const timeChecks = [
  [
    "doctor says that record works, and names the fallbacks",
    () => {
      const { rows } = lowflame("doctor");
      const missing = rows.filter((row) => row.status === "missing");
      expect(
        missing.length === 0,
        `missing: ${missing.map((row) => `${row.title}: ${row.found}`).join("; ")}`,
      );
      const has = btfHas("btf_trace_sched_exit_tp");
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
];
