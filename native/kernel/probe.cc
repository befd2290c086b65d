// Feature probes: see probe.h. Each asks the kernel by doing the thing, or asks its BTF; none looks at its version.
#include "probe.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cstring>

#include "../core/error.h"
#include "kernel_functions.h"
#include "machine.h"
#include "objects.h"
#include "perf_ring.h"

namespace lowflame {
namespace {

const std::vector<std::string> kCpu{"cpu"}, kSwitches{"offcpu", "futex", "sockets"}, kLocks{"locks"},
    kSockets{"sockets"}, kAll{"cpu", "offcpu", "locks", "futex", "sockets"}, kNone{};

ProbeRow Ok(const char* id, const char* title, const std::string& found) {
  return {id, title, "ok", found, "", kNone};
}

// Loads (and attaches) `programs` of an object as a recording would.
ProbeRow TryObject(const char* id, const char* title, Object::Kind kind, const std::vector<std::string>& programs,
                   const std::vector<std::string>& needed_by) {
  try {
    Object object(kind);
    ObjectConfig config;
    config.possible_cpus = PossibleCpus();
    config.slot_sets = config.lock_sets = config.call_sets = 16;
    config.ring_bytes = 65536;
    object.Configure(config, programs);
    object.Load();
    object.Attach();
    object.Detach();
    return Ok(id, title, "loaded and attached");
  } catch (const Error& e) {
    return {id,
            title,
            "missing",
            e.what(),
            e.code() == "EPERM_BPF" ? "run as root (sudo), or keep CAP_BPF, CAP_PERFMON and CAP_SYSLOG as ambient "
                                      "capabilities (setpriv --ambient-caps)"
                                    : "record without this source, or boot a kernel that has it",
            needed_by};
  }
}

ProbeRow LockRow(const KernelFeatures& features) {
  const char *id = "tp_btf.contention_begin", *title = "waits for kernel locks";
  if (!features.contention)
    return {id,
            title,
            "missing",
            "no tracepoints contention_begin and contention_end in BTF",
            "record without locks, or boot Linux 5.19 or newer",
            kLocks};
  ProbeRow row = TryObject(id, title, features.task_from_pid ? Object::Kind::kLocksOwners : Object::Kind::kLocks,
                           {"lf_lock_begin", "lf_lock_end"}, kLocks);
  if (row.status != "ok") return row;
  std::string without;
  if (!features.task_from_pid) without = "no bpf_task_from_pid: owners of locks are named, their stacks are not there";
  if (!features.kmem_cache)
    without += std::string(without.empty() ? "" : "; ") + "no bpf_get_kmem_cache: slab caches of locks are not told";
  if (without.empty()) return row;
  row.status = "degraded";
  row.found = without;
  row.remedy = "nothing to do: waits are counted all the same";
  return row;
}

ProbeRow SocketRow(const KernelFeatures& features) {
  std::vector<std::string> programs{"lf_call_enter", "lf_call_exit"};
  if (features.uring) programs.push_back("lf_call_uring");
  ProbeRow row =
      TryObject("tp_btf.sys_enter", "socket calls",
                features.rdonly_cast ? Object::Kind::kSocketsCast : Object::Kind::kSockets, programs, kSockets);
  if (row.status != "ok" || features.rdonly_cast) return row;
  row.status = "degraded";
  row.found = "no bpf_rdonly_cast: sockets are found by copying, which takes longer";
  row.remedy = "nothing to do: calls are counted all the same";
  return row;
}

}  // namespace

std::vector<ProbeRow> ProbeKernel() {
  std::vector<ProbeRow> rows;
  KernelFeatures features = AskKernel();
  if (features.btf)
    rows.push_back(Ok("btf", "BTF type information", "/sys/kernel/btf/vmlinux"));
  else
    rows.push_back({"btf", "BTF type information", "missing", "no usable /sys/kernel/btf/vmlinux",
                    "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian's are)", kAll});

  try {
    PerfRing ring(OnlineCpus().empty() ? 0 : OnlineCpus()[0], 99, false, false, 65536);
    rows.push_back(Ok("perf.cpu_clock", "perf event cpu-clock with call chains", "opened and mapped"));
  } catch (const Error& e) {
    rows.push_back({"perf.cpu_clock", "perf event cpu-clock with call chains", "missing", e.what(),
                    "run as root, or set kernel.perf_event_paranoid to -1", kCpu});
  }
  if (HardwareCyclesAvailable())
    rows.push_back(Ok("perf.cycles", "hardware cycle counter", "used for sampling"));
  else
    rows.push_back({"perf.cycles", "hardware cycle counter", "degraded",
                    "no hardware counter (usual in a virtual machine)",
                    "nothing to do: cpu-clock is used; code that runs with interrupts off is charged to where they are "
                    "switched on again",
                    kNone});
  if (!features.btf) return rows;

  uint64_t swevent = KernelFunctions().Ranges({"perf_swevent_hrtimer"})[0].begin;
  if (features.hrtimer_expire && swevent) {
    rows.push_back(TryObject("tp_btf.hrtimer_expire_entry", "user stacks of CPU samples at the sampling timer",
                             Object::Kind::kCpu, {"lf_cpu_timer"}, kCpu));
  } else {
    ProbeRow row = TryObject("perf_event.bpf", "user stacks of CPU samples by a BPF perf event", Object::Kind::kCpu,
                             {"lf_cpu_event"}, kCpu);
    if (row.status == "ok") {
      row.status = "degraded";
      row.found = swevent ? "no tracepoint hrtimer_expire_entry in BTF" : "kernel addresses are hidden";
      row.remedy = swevent ? "" : "run as root, or give CAP_SYSLOG, or set kernel.kptr_restrict to 0";
    }
    rows.push_back(row);
  }
  if (!features.switch_state) {
    rows.push_back({"tp_btf.sched_switch", "off-CPU time", "missing", "sched_switch does not hand over prev_state",
                    "record with --what cpu", kSwitches});
  } else if (features.sched_exit) {
    rows.push_back(TryObject("tp_btf.sched_switch", "off-CPU time, measured where the thread resumes",
                             Object::Kind::kOffCpu, {"lf_switch_out", "lf_switch_in"}, kSwitches));
  } else {
    ProbeRow row = TryObject("tp_btf.sched_switch", "off-CPU time, stacks at switch-out", Object::Kind::kOffCpu,
                             {"lf_switch_both"}, kSwitches);
    if (row.status == "ok") {
      row.status = "degraded";
      row.found = "no tracepoint sched_exit_tp: user stacks of waits are drawn before their length is known";
      row.remedy = "nothing to do: weights stay unbiased, some long waits have their kernel stack only";
    }
    rows.push_back(row);
  }
  if (features.sched_info)
    rows.push_back(Ok("btf.sched_info", "run-queue wait", "task_struct.sched_info"));
  else
    rows.push_back({"btf.sched_info", "run-queue wait", "missing", "task_struct has no sched_info",
                    "boot a kernel with CONFIG_SCHED_INFO (SCHEDSTATS or TASK_DELAY_ACCT)", kSwitches});
  rows.push_back(TryObject("tp_btf.sched_process_exec", "names after an exec, threads asleep at the end",
                           Object::Kind::kProc, {"lf_exec", "lf_sleepers", "lf_tasks", "lf_run_queues"}, kAll));
  rows.push_back(LockRow(features));
  rows.push_back(SocketRow(features));
  if (KernelFunctions().Ranges({"__schedule"})[0].begin)
    rows.push_back(Ok("kallsyms", "kernel symbol addresses", "/proc/kallsyms"));
  else
    rows.push_back({"kallsyms", "kernel symbol addresses", "degraded", "addresses in /proc/kallsyms are hidden",
                    "run as root, or give CAP_SYSLOG, or: sysctl kernel.kptr_restrict=0", kNone});
  int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (stats >= 0) {
    close(stats);
    rows.push_back(Ok("bpf.stats", "BPF run-time statistics (own cost, cost of others' programs)", "can be enabled"));
  } else {
    rows.push_back({"bpf.stats", "BPF run-time statistics (own cost, cost of others' programs)", "degraded",
                    strerror(errno), "run as root (CAP_SYS_ADMIN), or: sysctl kernel.bpf_stats_enabled=1", kNone});
  }
  return rows;
}

}  // namespace lowflame
