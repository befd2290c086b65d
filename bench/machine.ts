// Facts of the machine and the tools that a figure depends on.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

export interface Machine {
  readonly date: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly virtual: boolean;
  readonly memoryGiB: number;
  readonly commit: string;
  readonly tools: Readonly<Record<string, string>>;
}

export function describeMachine(): Machine {
  const cpuinfo = readFileSync("/proc/cpuinfo", "utf8");
  return {
    date: new Date().toISOString().slice(0, 10),
    kernel: /^[\d.]+/.exec(release())?.[0] ?? release(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cpus: cpus().length,
    virtual: /^flags.*\bhypervisor\b/m.test(cpuinfo),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    commit: firstLine("git", ["rev-parse", "--short", "HEAD"]),
    tools: {
      node: process.version,
      nginx: firstLine("/usr/sbin/nginx", ["-v"]).replace("nginx version: nginx/", ""),
      perf: firstLine("perf", ["--version"]).replace("perf version ", ""),
      bpftrace: firstLine("bpftrace", ["--version"]).replace("bpftrace ", ""),
      // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format
      "libbpf-tools": firstLine("dpkg-query", ["-W", "-f", "${Version}", "libbpf-tools"]),
      strace: firstLine("strace", ["--version"]).replace("strace -- version ", ""),
    },
  };
}

export function renderMachine(m: Machine): string {
  const tools = Object.entries(m.tools).map(([name, version]) => `${name} ${version}`);
  return (
    `Measured ${m.date} at commit ${m.commit}: Linux ${m.kernel}${m.virtual ? " in a virtual machine" : ""}, ` +
    `${m.cpus} x ${m.cpu}, ${m.memoryGiB} GiB; ${tools.join(", ")}.`
  );
}

function firstLine(command: string, args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return `${stdout ?? ""}${stderr ?? ""}`.trim().split("\n")[0] || "unknown";
}
