// Facts about this machine and this lowflame that go into the capture.
import { readFileSync } from "node:fs";
import { hostname, release } from "node:os";
import type { RecordingFacts } from "../model/profile.js";
import { parseCpuList } from "./options.js";
import type { SystemView } from "./system.js";

/** Version of lowflame, from its package.json (beside src/ and dist/ alike). */
export function toolVersion(): string {
  const file = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/** CPUs that are online now, in order; undefined where /sys does not say. */
export function onlineCpus(system: SystemView): number[] | undefined {
  const list = system.readText("/sys/devices/system/cpu/online")?.trim();
  return list ? parseCpuList(list) : undefined;
}

/** The machine as the report's header shows it. */
export function hostFacts(system: SystemView): RecordingFacts["host"] {
  const cpuinfo = system.readText("/proc/cpuinfo") ?? "";
  return {
    hostname: hostname(),
    kernel: system.readText("/proc/sys/kernel/osrelease")?.trim() ?? release(),
    arch: process.arch === "x64" ? "x86_64" : process.arch === "arm64" ? "aarch64" : process.arch,
    cpuModel: /^model name\s*:\s*(.+)$/m.exec(cpuinfo)?.[1]?.trim() ?? "unknown",
    cpus: onlineCpus(system)?.length ?? 0,
    memoryBytes: system.memoryBytes,
  };
}
