#!/usr/bin/env node
// Checks lowflame on the kernel that it runs on: what it records against what programs of known behaviour counted
// themselves. For scripts/kernel-matrix, in a guest; wants root, four CPUs, bpftool, bpftrace and the test programs.
// Timing in an emulated guest says nothing about speed, so bounds are on shares and counts.
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { expect, loadedPrograms } from "./lib/in-kernel.mjs";
import { futexChecks } from "./lib/in-kernel-futex.mjs";
import { lockChecks } from "./lib/in-kernel-locks.mjs";
import { socketChecks } from "./lib/in-kernel-sockets.mjs";
import { timeChecks } from "./lib/in-kernel-time.mjs";
import { tracerChecks } from "./lib/in-kernel-tracer.mjs";

/** Each gives a line on what it saw, or throws what is wrong. */
const checks = [
  ...timeChecks,
  ...lockChecks,
  ...futexChecks,
  ...socketChecks,
  ...tracerChecks,
  [
    "nothing stays in the kernel",
    () => {
      const left = loadedPrograms().flatMap(({ name }) => (name?.startsWith("lf_") ? [name] : []));
      expect(left.length === 0, `still loaded: ${left.join(", ")}`);
      const stats = readFileSync("/proc/sys/kernel/bpf_stats_enabled", "utf8").trim();
      expect(stats === "0", `kernel.bpf_stats_enabled is ${stats}`);
      return "no lf_* program, bpf_stats_enabled 0";
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
