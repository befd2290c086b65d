// The processes, control groups and CPUs that filters name: are they there before the recording, and still there during it.
import { resolve } from "node:path";
import { CliError, Exit, usageError } from "./errors.js";
import { onlineCpus } from "./host.js";
import type { SystemView } from "./system.js";

/** CGROUP2_SUPER_MAGIC, include/uapi/linux/magic.h. */
const CGROUP2_MAGIC = 0x63677270;
/** Link of the namespace whose pids the kernel itself uses (PROC_PID_INIT_INO). */
export const INITIAL_PID_NAMESPACE = "pid:[4026531836]";
/** Names and groups that the kernel side compares with: LF_MAX_COMMS and LF_MAX_CGROUPS in bpf/events.h. */
export const MAX_COMMS = 16;
export const MAX_CGROUPS = 16;
/** How often the targets are looked up while a recording runs, ms. */
const WATCH_INTERVAL_MS = 200;

/** A process that was found: pids come again, so the start time belongs to its name. */
export interface Target {
  readonly pid: number;
  readonly startTicks: string;
}

/**
 * Finds the processes of `--pid`.
 * @throws CliError PID_NAMESPACE where pids mean other processes to the kernel,
 *   NO_PROCESS when one is not there, THREAD_ID when it is a thread of another process.
 */
export function findTargets(pids: readonly number[], system: SystemView): Target[] {
  const namespace = system.readLink("/proc/self/ns/pid");
  if (pids.length > 0 && namespace !== undefined && namespace !== INITIAL_PID_NAMESPACE) {
    throw new CliError(
      "PID_NAMESPACE",
      Exit.noTarget,
      `--pid ${pids[0]}: lowflame runs in a pid namespace of its own (${namespace}), and the kernel filters by the host's pids`,
      "run lowflame on the host, or in a container with the host's pids (docker run --pid=host …), or filter by --comm",
    );
  }
  return pids.map((pid) => {
    const startTicks = startOf(pid, system);
    if (startTicks === undefined) {
      throw new CliError(
        "NO_PROCESS",
        Exit.noTarget,
        `--pid ${pid}: no process of that id is running here`,
        "pids are looked up in lowflame's own pid namespace; to find one by name: pgrep -a NAME",
      );
    }
    // /proc/TID opens for threads too, but filters go by process.
    const group = /^Tgid:\s*(\d+)$/m.exec(system.readText(`/proc/${pid}/status`) ?? "")?.[1];
    if (group !== undefined && Number(group) !== pid) {
      throw new CliError(
        "THREAD_ID",
        Exit.noTarget,
        `--pid ${pid}: this is a thread of process ${group}`,
        `use --pid ${group}; the report can be filtered by thread`,
      );
    }
    return { pid, startTicks };
  });
}

/** True while at least one of the targets runs. A zombie no longer does. */
export function anyAlive(targets: readonly Target[], system: SystemView): boolean {
  return targets.some((target) => startOf(target.pid, system) === target.startTicks);
}

/** Calls `onGone` once when the last target has ended. Returns the function that stops watching. */
export function watchTargets(targets: readonly Target[], system: SystemView, onGone: () => void): () => void {
  if (targets.length === 0) return () => {};
  const timer = setInterval(() => {
    if (anyAlive(targets, system)) return;
    clearInterval(timer);
    onGone();
  }, WATCH_INTERVAL_MS);
  return () => clearInterval(timer);
}

/** Start time of a running process in clock ticks (field 22 of /proc/PID/stat, proc(5)), undefined if it is not there. */
function startOf(pid: number, system: SystemView): string | undefined {
  const stat = system.readText(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The name in brackets may hold spaces and brackets itself: fields count from its last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/**
 * Turns `--cgroup` values into absolute directories of a cgroup2 file system.
 * A path that is not there is tried below each cgroup2 mount too ("system.slice/nginx.service").
 * @throws CliError NO_CGROUP
 */
export function findCgroups(paths: readonly string[], cwd: string, system: SystemView): string[] {
  const mounts = cgroup2Mounts(system);
  const found = paths.map((path) => {
    const candidates = [
      resolve(cwd, path),
      ...mounts.map((mount) => resolve(mount, path.replace(/^\/+/, ""))),
    ];
    const place = candidates.find(
      (dir) => system.exists(`${dir}/cgroup.controllers`) && system.fsType(dir) === CGROUP2_MAGIC,
    );
    if (place !== undefined) return place;
    throw new CliError(
      "NO_CGROUP",
      Exit.noTarget,
      `--cgroup ${path}: this is not a directory of the cgroup v2 hierarchy`,
      mounts.length === 0
        ? "no cgroup2 file system is mounted here: mount -t cgroup2 none /sys/fs/cgroup"
        : `look below ${mounts.join(" or ")}; the group of a process is in /proc/PID/cgroup (the line that starts with 0::)`,
    );
  });
  return [...new Set(found)];
}

/**
 * Refuses more names or groups than the kernel side holds: it would record without the rest.
 * @throws CliError TOO_MANY_COMMS, TOO_MANY_CGROUPS
 */
export function checkFilterCounts(comms: readonly string[], cgroups: readonly string[]): void {
  if (comms.length > MAX_COMMS) {
    throw usageError(
      "TOO_MANY_COMMS",
      `--comm: ${comms.length} names are given, and lowflame's programs in the kernel compare with at most ${MAX_COMMS}`,
      "name fewer, filter by a cgroup that holds the processes (--cgroup), or record all and choose in the report",
    );
  }
  if (cgroups.length > MAX_CGROUPS) {
    throw usageError(
      "TOO_MANY_CGROUPS",
      `--cgroup: ${cgroups.length} groups are given, and lowflame's programs in the kernel compare with at most ${MAX_CGROUPS}`,
      "name a group above them (those below it are included), or record all and choose in the report",
    );
  }
}

/** Mount points of cgroup2 (fields of /proc/self/mountinfo, proc(5); spaces are written \040). */
function cgroup2Mounts(system: SystemView): string[] {
  const lines = (system.readText("/proc/self/mountinfo") ?? "").split("\n");
  return lines
    .filter((line) => / - cgroup2 /.test(line))
    .map((line) => (line.split(" ")[4] ?? "").replace(/\\040/g, " "))
    .filter((path) => path !== "");
}

/** @throws CliError CPU_OFFLINE when a CPU of `--cpu` is not online. */
export function checkCpus(cpus: readonly number[], system: SystemView): void {
  const online = onlineCpus(system);
  const missing = online && cpus.find((cpu) => !online.includes(cpu));
  if (missing === undefined) return;
  throw new CliError(
    "CPU_OFFLINE",
    Exit.noTarget,
    `--cpu: CPU ${missing} is not online`,
    `online: ${system.readText("/sys/devices/system/cpu/online")?.trim()}`,
  );
}
