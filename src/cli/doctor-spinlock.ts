// Can waits for spin locks be traced in this guest? Where the kernel uses the hypervisor's test-and-set lock
// (virt_spin_lock, arch/x86/include/asm/qspinlock.h) it spins before its contention tracepoints, which stay silent.
import type { ProbeRow } from "../capture/binding.js";
import type { SystemView } from "./system.js";

const HEAD = { id: "spinlock.tracepoints", title: "tracing of spin-lock waits", neededBy: [] } as const;
const REMEDY =
  "CPU samples still show the time spent spinning; to trace the waits, enable paravirtual spin locks in the hypervisor (KVM: kvm_pv_unhalt) and do not boot with nopvspin";

/**
 * The kernel takes the test-and-set lock when it sees a hypervisor and has not switched paravirtual spin locks on.
 * That decision is not exported: what is known is whether the code for them exists and what the boot log said.
 * @param kallsyms text of /proc/kallsyms
 */
export function spinLockCheck(system: SystemView, kallsyms: string): ProbeRow {
  const flags = /^flags\s*:.*$/m.exec(system.readText("/proc/cpuinfo") ?? "")?.[0];
  if (flags === undefined) return degraded("/proc/cpuinfo does not tell whether this is a guest");
  if (!/\bhypervisor\b/.test(flags)) {
    return { ...HEAD, status: "ok", found: "no hypervisor: queued spin locks", remedy: "" };
  }
  const log = system.kernelLog();
  if (log !== undefined && /PV spinlocks enabled|PV qspinlock hash table entries/.test(log)) {
    return { ...HEAD, status: "ok", found: "a guest with paravirtual spin locks (boot log)", remedy: "" };
  }
  const disabled = log === undefined ? null : /PV spinlocks disabled[^\n]*/.exec(log);
  if (disabled) {
    return degraded(
      `a guest, and the boot log says "${disabled[0].slice(0, 100)}": such waits are likely invisible`,
    );
  }
  const commandLine = system.readText("/proc/cmdline") ?? "";
  if (/(^|\s)(nopvspin|xen_nopvspin|hv_nopvspin)(\s|$)/.test(commandLine)) {
    return degraded(
      "a guest that was booted with paravirtual spin locks off: such waits are likely invisible",
    );
  }
  if (kallsyms !== "" && !/ [tT] __pv_queued_spin_lock_slowpath$/m.test(kallsyms)) {
    return degraded("a guest whose kernel has no paravirtual spin locks: such waits may be invisible");
  }
  return degraded("a guest whose boot log is gone or unreadable: such waits may be invisible");
}

const degraded = (found: string): ProbeRow => ({ ...HEAD, status: "degraded", found, remedy: REMEDY });
