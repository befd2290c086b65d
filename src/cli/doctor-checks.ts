// Checks of `doctor` that need no addon: privileges, namespaces, mounts and settings, read from /proc and /sys.
// The kernel is asked for what it has; its version is never looked at.
import { type ProbeRow, SOURCES, type SourceName } from "../capture/binding.js";
import { openFilesCheck } from "./doctor-files.js";
import { spinLockCheck } from "./doctor-spinlock.js";
import type { SystemView } from "./system.js";
import { INITIAL_PID_NAMESPACE } from "./targets.js";

/** What everything needs. */
const ALL: readonly SourceName[] = SOURCES;

/** Bits of the capability sets, include/uapi/linux/capability.h. */
const CAP = {
  dacReadSearch: 2n,
  sysPtrace: 19n,
  sysAdmin: 21n,
  syslog: 34n,
  perfmon: 38n,
  bpf: 39n,
} as const;

/** All checks, in the order in which they are shown. */
export function doctorChecks(system: SystemView): ProbeRow[] {
  const kallsyms = system.readText("/proc/kallsyms") ?? "";
  return [
    privileges(system),
    userNamespace(system),
    pidNamespace(system),
    container(system),
    paranoid(system),
    kernelNames(system, kallsyms),
    lockdown(system),
    sampleRate(system),
    tracefs(system),
    openFilesCheck(system),
    workingDirectory(system),
    spinLockCheck(system, kallsyms),
  ];
}

type Row = Omit<ProbeRow, "neededBy" | "remedy"> & { remedy?: string; neededBy?: readonly SourceName[] };
const row = (fields: Row): ProbeRow => ({ remedy: "", neededBy: [], ...fields });

/** Effective capabilities of this process, from /proc/self/status. */
function hasCap(system: SystemView, bit: bigint): boolean {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(system.readText("/proc/self/status") ?? "")?.[1];
  return hex !== undefined && ((BigInt(`0x${hex}`) >> bit) & 1n) === 1n;
}

function privileges(system: SystemView): ProbeRow {
  const head = { id: "privileges", title: "privileges" };
  const admin = hasCap(system, CAP.sysAdmin);
  const missing = [
    ...(admin || hasCap(system, CAP.bpf) ? [] : ["CAP_BPF"]),
    ...(admin || hasCap(system, CAP.perfmon) ? [] : ["CAP_PERFMON"]),
  ];
  const user = system.effectiveUid === 0 ? "root" : `user ${system.effectiveUid}`;
  if (missing.length > 0) {
    const found = `${user} without ${missing.join(" and ")}`;
    const remedy =
      system.effectiveUid === 0
        ? "root here lacks capabilities (a container?): add CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_SYSLOG to it, or run lowflame on the host"
        : "run it as root: sudo lowflame …";
    return row({ ...head, status: "missing", found, remedy, neededBy: ALL });
  }
  const wanted = [
    ...(hasCap(system, CAP.sysPtrace) ? [] : ["CAP_SYS_PTRACE"]),
    ...(hasCap(system, CAP.dacReadSearch) ? [] : ["CAP_DAC_READ_SEARCH"]),
    ...(admin || hasCap(system, CAP.syslog) ? [] : ["CAP_SYSLOG"]),
  ];
  if (wanted.length > 0 && system.effectiveUid !== 0) {
    return row({
      ...head,
      status: "degraded",
      found: `${user} without ${wanted.join(", ")}: names in other users' processes or in the kernel stay unknown`,
      remedy: "run it as root: sudo lowflame …",
    });
  }
  return row({ ...head, status: "ok", found: user });
}

function userNamespace(system: SystemView): ProbeRow {
  const head = { id: "namespace.user", title: "user namespace" };
  const map = (system.readText("/proc/self/uid_map") ?? "").trim().split(/\s+/).join(" ");
  if (map === "" || map === "0 0 4294967295") return row({ ...head, status: "ok", found: "the initial one" });
  return row({
    ...head,
    status: "missing",
    found: "a child of the initial one, where capabilities do not reach BPF and perf",
    remedy: "run lowflame outside of the rootless container, with sudo on the host",
    neededBy: ALL,
  });
}

function pidNamespace(system: SystemView): ProbeRow {
  const head = { id: "namespace.pid", title: "pid namespace" };
  const link = system.readLink("/proc/self/ns/pid");
  if (link === INITIAL_PID_NAMESPACE) return row({ ...head, status: "ok", found: "the initial one" });
  return row({
    ...head,
    status: "degraded",
    found: `${link ?? "unknown"}, not the initial one: the kernel reports the host's pids, which /proc here does not know, so identities may be mixed up, user functions may stay without names, and --pid is refused`,
    remedy: "run lowflame on the host, or start the container with the host's pids: docker run --pid=host …",
  });
}

function container(system: SystemView): ProbeRow {
  const head = { id: "container", title: "container" };
  const initGroups = system.readText("/proc/1/cgroup") ?? "";
  const named = system.readText("/run/systemd/container")?.trim();
  const kind = system.exists("/.dockerenv")
    ? "Docker (/.dockerenv)"
    : system.exists("/run/.containerenv")
      ? "Podman (/run/.containerenv)"
      : named
        ? `${named} (/run/systemd/container)`
        : (/(docker|kubepods|containerd|lxc|libpod)/.exec(initGroups)?.[1] ?? "");
  if (kind === "") return row({ ...head, status: "ok", found: "no sign of one" });
  // With the host's pids, pid 1 is the host's: who shares its mounts is on the host, whatever files lie around.
  const mounts = system.readLink("/proc/self/ns/mnt");
  const host = system.readLink("/proc/self/ns/pid") === INITIAL_PID_NAMESPACE;
  if (host && mounts !== undefined && mounts === system.readLink("/proc/1/ns/mnt")) {
    return row({
      ...head,
      status: "ok",
      found: `signs of ${kind}, but with the pids and mounts of the host`,
    });
  }
  return row({
    ...head,
    status: "degraded",
    found: `signs of ${kind}: files of other containers may be out of reach`,
    remedy: "best run on the host; else with --privileged --pid=host -v /sys:/sys:ro",
  });
}

function paranoid(system: SystemView): ProbeRow {
  const path = "/proc/sys/kernel/perf_event_paranoid";
  const head = { id: "perf.paranoid", title: "perf_event_paranoid" };
  const text = system.readText(path)?.trim();
  if (text === undefined) {
    return row({
      ...head,
      status: "missing",
      found: `${path} is not there: this kernel has no perf events`,
      remedy: "use a kernel with CONFIG_PERF_EVENTS",
      neededBy: ["cpu"],
    });
  }
  if (hasCap(system, CAP.sysAdmin) || hasCap(system, CAP.perfmon) || Number(text) < 0) {
    return row({ ...head, status: "ok", found: `${text} (does not limit this user)` });
  }
  return row({
    ...head,
    status: "missing",
    found: `${text}: this user may not watch the whole machine`,
    remedy:
      "run it as root: sudo lowflame …  (or, until the next boot: sudo sysctl -w kernel.perf_event_paranoid=-1)",
    neededBy: ["cpu"],
  });
}

function kernelNames(system: SystemView, kallsyms: string): ProbeRow {
  const head = { id: "kallsyms", title: "names of kernel functions" };
  const setting = system.readText("/proc/sys/kernel/kptr_restrict")?.trim() ?? "?";
  if (/^0*[1-9a-f][0-9a-f]* [tT] /m.test(kallsyms)) {
    return row({ ...head, status: "ok", found: `readable (kptr_restrict ${setting})` });
  }
  return row({
    ...head,
    status: "degraded",
    found:
      kallsyms === ""
        ? "/proc/kallsyms cannot be read: kernel frames will show as addresses"
        : `hidden (kptr_restrict ${setting}): kernel frames will show as addresses`,
    remedy: setting === "2" ? "sudo sysctl -w kernel.kptr_restrict=1" : "run it as root: sudo lowflame …",
  });
}

function lockdown(system: SystemView): ProbeRow {
  const head = { id: "lockdown", title: "kernel lockdown" };
  const mode = /\[(\w+)\]/.exec(system.readText("/sys/kernel/security/lockdown") ?? "")?.[1] ?? "none";
  if (mode !== "confidentiality") return row({ ...head, status: "ok", found: mode });
  return row({
    ...head,
    status: "degraded",
    found: "confidentiality: BPF programs may not read kernel memory, so sources may be refused",
    remedy: "start the kernel without lockdown=confidentiality",
  });
}

function sampleRate(system: SystemView): ProbeRow {
  const head = { id: "perf.max_rate", title: "highest sampling rate" };
  const rate = Number(system.readText("/proc/sys/kernel/perf_event_max_sample_rate")?.trim() ?? Number.NaN);
  if (!(rate < 99))
    return row({ ...head, status: "ok", found: Number.isNaN(rate) ? "not limited" : `${rate} Hz` });
  return row({
    ...head,
    status: "degraded",
    found: `${rate} Hz: the kernel lowered it because interrupts took long, and -F 99 is refused or throttled`,
    remedy: "sudo sysctl -w kernel.perf_event_max_sample_rate=100000",
  });
}

function tracefs(system: SystemView): ProbeRow {
  const head = { id: "tracefs", title: "tracefs" };
  const place = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].find((dir) =>
    system.exists(`${dir}/events`),
  );
  if (place) return row({ ...head, status: "ok", found: `mounted on ${place}` });
  if (/^\S+ \/sys\/kernel(\/debug)?\/tracing tracefs /m.test(system.readText("/proc/mounts") ?? ""))
    return row({
      ...head,
      status: "degraded",
      found: "mounted, but this user may not read it; recording works without it",
      remedy: "run as root to have other tools' probes looked up",
    });
  return row({
    ...head,
    status: "degraded",
    found: "not mounted; recording works without it, other tools' probes cannot be looked up",
    remedy: "sudo mount -t tracefs none /sys/kernel/tracing",
  });
}

/** The kernel ends the link of a directory that was deleted with " (deleted)"; `record` cannot write there. */
function workingDirectory(system: SystemView): ProbeRow {
  const head = { id: "cwd", title: "current directory" };
  const link = system.readLink("/proc/self/cwd") ?? "";
  if (!link.endsWith(" (deleted)") || system.exists(link))
    return row({ ...head, status: "ok", found: link === "" ? "present" : link });
  return row({
    ...head,
    status: "missing",
    found: link,
    remedy: "change to a directory that exists, such as: cd /tmp",
    neededBy: ALL,
  });
}
