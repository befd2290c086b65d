// The command line in a box: a fake addon, a described machine, streams that are remembered; real files in a directory.
import { EventEmitter } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import type { NativeBinding } from "../../../src/capture/binding.js";
import { readCapture } from "../../../src/capture/file/reader.js";
import { CaptureWriter } from "../../../src/capture/file/writer.js";
import type { CliDeps } from "../../../src/cli/deps.js";
import { runCli } from "../../../src/cli/program.js";
import type { StopSignal } from "../../../src/cli/signals.js";
import type { SystemView } from "../../../src/cli/system.js";
import { ProfileBuilder } from "../../../src/model/build.js";

/** A stream that keeps what is written to it. */
export class MemoryStream extends Writable {
  text = "";
  isTTY = false;
  columns = 100;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** A machine that is described by its files; everything else about it is as on a healthy Debian host with root. */
export function fakeSystem(over: Record<string, string | undefined> = {}): SystemView {
  const files: Record<string, string | undefined> = { ...HEALTHY, ...over };
  return {
    readText: (path) => files[path],
    readLink: (path) => files[path],
    exists: (path) => path in files && files[path] !== undefined,
    fsType: (path) => (path.startsWith("/sys/fs/cgroup") ? 0x63677270 : 0xef53),
    kernelLog: () => files["/dev/kmsg"],
    effectiveUid: Number(files.euid),
    memoryBytes: 8e9,
  };
}

const HEALTHY: Record<string, string> = {
  euid: "0",
  "/proc/self/ns/pid": "pid:[4026531836]",
  "/proc/self/status": "Name:\tnode\nCapEff:\t000001ffffffffff\n",
  "/proc/self/uid_map": "         0          0 4294967295\n",
  "/proc/self/stat": "100 (node) R 1 100 100 0 -1",
  "/proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
  "/proc/cpuinfo": "processor\t: 0\nmodel name\t: Fake CPU\nflags\t\t: fpu vme sse2\n",
  "/proc/kallsyms": "ffffffff81000000 T _stext\n",
  "/proc/sys/kernel/osrelease": "6.18.0\n",
  "/proc/sys/kernel/perf_event_paranoid": "2\n",
  "/proc/sys/kernel/kptr_restrict": "0\n",
  "/proc/sys/kernel/perf_event_max_sample_rate": "100000\n",
  "/sys/devices/system/cpu/online": "0-3\n",
  "/sys/kernel/tracing/events": "",
};

/** Line of /proc/PID/stat with what matters: the state and, as field 22, the start time. */
export const procStat = (pid: number, startTicks: number, state = "S"): string =>
  `${pid} (a) b) ${state} ${Array.from({ length: 18 }, () => "0").join(" ")} ${startTicks} 0`;

export interface HarnessOptions {
  readonly binding?: NativeBinding;
  readonly system?: SystemView;
  readonly deps?: Partial<CliDeps>;
}

export class Harness {
  readonly dir = mkdtempSync(join(tmpdir(), "lowflame-cli-"));
  readonly stdout = new MemoryStream();
  readonly stderr = new MemoryStream();
  readonly signals = new EventEmitter();
  readonly env: Record<string, string | undefined> = { PATH: process.env.PATH };
  /** Codes that `exitNow` was called with. */
  readonly exits: number[] = [];
  readonly deps: CliDeps;

  constructor(options: HarnessOptions = {}) {
    this.deps = {
      loadBinding: () => {
        if (options.binding) return options.binding;
        throw new Error("this test has no addon");
      },
      openCapture: async (path) => {
        const writer = await CaptureWriter.open(path);
        return {
          write: async (event) => {
            if (event.type !== "damage") await writer.event(event);
          },
          close: () => writer.close(),
        };
      },
      readCapture,
      createBuilder: async () => new ProfileBuilder(),
      analyze: async () => [],
      // The formats have their own tests; here it matters which one is asked for, of what, and where it lands.
      render: async (format, profile, _findings, source) =>
        `${format} ${source ?? "all"} ${profile.facts.endReason}`,
      system: options.system ?? fakeSystem(),
      terminal: { stdout: this.stdout, stderr: this.stderr, env: this.env },
      signals: this.signals,
      exitNow: (code) => this.exits.push(code),
      now: () => new Date("2025-11-21T04:56:09.123Z"),
      cwd: this.dir,
      hostname: "edge-1",
      version: "0.1.0",
      ...options.deps,
    };
  }

  run(...argv: string[]): Promise<number> {
    return runCli(argv, this.deps);
  }

  signal(name: StopSignal): void {
    this.signals.emit(name);
  }

  /** Names in the working directory, hidden ones too. */
  files(): string[] {
    return readdirSync(this.dir).sort();
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
