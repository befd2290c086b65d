// Life of a recording: configure, load, attach, activate. See session.h; the drain is in drain.cc, the end in
// finish.cc.
#include "session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>

#include "../core/error.h"

namespace lowflame {
namespace {

// A socket call is slow if it keeps a CPU, or its thread, longer than this.
constexpr uint64_t kSlowBusyNs = 10000000, kSlowBlockedNs = 100000000;
constexpr uint32_t kProcRingBytes = 64 * 1024, kTokenRingBytes = 4096;
// A wait for a lock over this always has its stack.
constexpr uint64_t kLockLimitNs = 1000000;

// Of the clock that jiffies count: its resolution is one of them.
uint64_t TickNs() {
  timespec resolution{};
  clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return static_cast<uint64_t>(resolution.tv_sec) * 1000000000 + static_cast<uint64_t>(resolution.tv_nsec);
}

uint32_t PowerOfTwoAtLeast(uint64_t n) {
  uint32_t p = 1;
  while (p < n && p < (1u << 30)) p <<= 1;
  return p;
}

}  // namespace

Session::Session() : stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!stop_fd_) throw Error("EMFILE", "too many open files: raise the limit with ulimit -n 1024");
}
Session::~Session() {
  Close();
}

void Session::Require(Step step, const char* what) const {
  if (step_ != step)
    throw Error("ESEQUENCE", std::string(what) +
                                 " was called out of order: the steps are configure, load, attach, "
                                 "activate, deactivate, finish");
}

void Session::Configure(const SessionConfig& config) {
  Require(Step::kNew, "configure");
  if (config.frequency_hz < 1 || config.frequency_hz > 9999)
    throw Error("EFREQUENCY", "a sampling frequency of " + std::to_string(config.frequency_hz) +
                                  " Hz is not possible: give 1 to 9999");
  if (!config.cpu && !config.offcpu && !config.locks && !config.futex && !config.sockets)
    throw Error("ESOURCE", "nothing to record: name at least one source (cpu, offcpu, locks, futex, sockets)");
  config_ = config;
  features_ = AskKernel();
  if (!features_.btf)
    throw Error("ENOBTF",
                "this kernel has no BTF (/sys/kernel/btf/vmlinux): boot one built with CONFIG_DEBUG_INFO_BTF=y, as "
                "distributions' kernels are");
  if ((config.offcpu || config.futex || config.sockets) && !features_.switch_state)
    throw Error("EKERNEL_SWITCH",
                "this kernel's sched_switch does not tell the state of the thread that leaves: record without offcpu, "
                "futex and sockets");
  hardware_ = HardwareCyclesAvailable();

  wanted_cgroups_.clear();
  for (const std::string& directory : config.filters.cgroups) wanted_cgroups_.push_back(CgroupPathOf(directory));

  for (const std::string& feature : config.without) {
    if (feature == "sched_exit_tp") features_.sched_exit = false;
    if (feature == "hrtimer_expire_entry") features_.hrtimer_expire = false;
    if (feature == "bpf_rdonly_cast") features_.rdonly_cast = false;
  }

  // the scheduler's own functions, which are the same under every wait and hide the function that waits
  const std::vector<std::string_view> scheduler{"__schedule",
                                                "schedule",
                                                "schedule_idle",
                                                "schedule_preempt_disabled",
                                                "preempt_schedule_common",
                                                "preempt_schedule_irq",
                                                "preempt_schedule",
                                                "preempt_schedule_notrace",
                                                "__cond_resched",
                                                "io_schedule",
                                                "io_schedule_timeout",
                                                "schedule_timeout",
                                                "schedule_timeout_interruptible",
                                                "schedule_timeout_uninterruptible",
                                                "schedule_hrtimeout_range",
                                                "schedule_hrtimeout_range_clock",
                                                "schedule_hrtimeout"};
  std::vector<std::string_view> wanted_names{"perf_swevent_hrtimer", "handle_softirqs", "__do_softirq",
                                             "__irq_exit_rcu"};
  const size_t first_scheduler = wanted_names.size();
  wanted_names.insert(wanted_names.end(), scheduler.begin(), scheduler.end());
  kernel_functions_ = std::make_unique<KernelFunctions>();
  auto ranges = kernel_functions_->Ranges(wanted_names);
  uint64_t swevent = ranges[0].begin;
  softirq_ranges_.assign(ranges.begin() + 1, ranges.begin() + static_cast<long>(first_scheduler));
  for (size_t i = first_scheduler; i < ranges.size(); i++)
    if (ranges[i].begin) schedule_ranges_.push_back(ranges[i]);
  user_half_by_timer_ = !hardware_ && features_.hrtimer_expire && swevent != 0;
  if (hardware_)
    start_.notes.push_back(
        "CPU samples count hardware cycles: inside other BPF programs, and where two counters overflow at different "
        "moments, user stacks follow frame pointers");
  else if (!user_half_by_timer_)
    start_.notes.push_back(
        "the sampling timer cannot be watched (no BTF tracepoint, or kernel.kptr_restrict hides it): inside other "
        "BPF programs user stacks follow frame pointers");

  uint32_t wanted = config.ring_bytes ? PowerOfTwoAtLeast(std::max(4096u, config.ring_bytes)) : 0;
  // at high frequencies 200 ms of samples must fit, about 2.2 KB each at most: a busy machine lets the drain wait
  uint32_t by_rate = PowerOfTwoAtLeast(static_cast<uint64_t>(config.frequency_hz) * 2200 / 5);
  cpu_ring_bytes_ = wanted ? wanted : std::max(128u * 1024, by_rate);
  perf_ring_bytes_ = cpu_ring_bytes_;
  // ten copies of 12 KiB between two drains at 99 Hz
  copy_ring_bytes_ =
      wanted ? wanted : std::clamp(PowerOfTwoAtLeast(config.frequency_hz * 1000u), 128u * 1024, 1024u * 1024);
  off_ring_bytes_ = wanted ? wanted : 512 * 1024;
  lock_ring_bytes_ = wanted ? wanted : 512 * 1024;
  call_ring_bytes_ = wanted ? wanted : 256 * 1024;

  slots_ = config.thread_slots ? PowerOfTwoAtLeast(std::max(4u, config.thread_slots))
                               : std::max(4096u, PowerOfTwoAtLeast(LiveThreads() * 4));
  object_config_.filters = config.filters;
  object_config_.swevent_function = swevent;
  object_config_.user_stack_in_chain = !user_half_by_timer_ && !config.unwind;
  object_config_.threshold_ns = config.threshold_ns;
  object_config_.slot_sets = slots_ / LF_SLOT_WAYS;
  object_config_.table_rows = config.table_rows ? PowerOfTwoAtLeast(config.table_rows) : 0;
  object_config_.lock_sets = slots_ / LF_SLOT_WAYS;
  object_config_.call_sets = slots_ / LF_SLOT_WAYS;
  object_config_.call_busy_limit_ns = config.slow_call_ns ? config.slow_call_ns : kSlowBusyNs;
  object_config_.call_blocked_limit_ns = config.slow_call_ns ? config.slow_call_ns : kSlowBlockedNs;
  object_config_.lock_limit_ns = kLockLimitNs;
  object_config_.tick_ns = TickNs();
  object_config_.possible_cpus = PossibleCpus();
  object_config_.unwind = config.unwind;
  step_ = Step::kConfigured;
}

void Session::Load() {
  Require(Step::kConfigured, "load");
  proc_object_ = std::make_unique<Object>(Object::Kind::kProc);
  std::vector<std::string> programs{"lf_exec"};
  const bool switches = config_.offcpu || config_.futex || config_.sockets;
  object_config_.want_calls = config_.sockets;
  object_config_.want_offcpu = config_.offcpu;
  object_config_.want_futex = config_.futex;
  object_config_.wall_offset_ns = WallNs() - MonotonicNs();
  if (config_.locks) {
    lock_paths_.Read(*kernel_functions_);
    object_config_.sched_text = {lock_paths_.text().begin, lock_paths_.text().end};
  }
  if (switches) programs.push_back("lf_sleepers");
  if (switches || config_.locks) programs.push_back("lf_tasks");
  if (config_.locks) programs.push_back("lf_run_queues");
  object_config_.ring_bytes = kProcRingBytes;
  proc_object_->Configure(object_config_, programs);
  proc_object_->SetReceiver([this](const lf_record* r, size_t n) { OnProcRecord(r, n); });

  if (config_.cpu) {
    cpu_object_ = std::make_unique<Object>(Object::Kind::kCpu);
    object_config_.ring_bytes = cpu_ring_bytes_;
    cpu_object_->Configure(object_config_, {user_half_by_timer_ ? "lf_cpu_timer" : "lf_cpu_event"});
    cpu_object_->SetReceiver([this](const lf_record* r, size_t n) { OnCpuRecord(r, n); });
    LoadWithUnwinding(cpu_object_.get());
    cpu_object_->FillFilters(object_config_);
  }
  if (switches) {
    off_object_ = std::make_unique<Object>(Object::Kind::kOffCpu);
    object_config_.ring_bytes = off_ring_bytes_;
    if (features_.sched_exit) {
      off_object_->Configure(object_config_, {"lf_switch_out", "lf_switch_in"});
    } else {
      off_object_->Configure(object_config_, {"lf_switch_both"});
      start_.notes.push_back(
          "this kernel has no sched_exit_tp tracepoint: user stacks of waits are taken at switch-out with a "
          "probability, and a long wait that was not drawn has its kernel half only");
    }
    off_object_->SetReceiver([this](const lf_record* r, size_t n) { OnOffCpuRecord(r, n); });
    LoadWithUnwinding(off_object_.get());
    off_object_->FillFilters(object_config_);
    for (const char* map : {"lf_slots", "lf_full_sets"}) proc_object_->ShareMap(map, off_object_->MapFd(map));
  }
  if (config_.locks) LoadLocks();
  if (config_.sockets) LoadSockets();
  proc_object_->Load();
  proc_object_->FillFilters(object_config_);
  kernel_functions_.reset();
  step_ = Step::kLoaded;
}

void Session::OpenCpu(int cpu) {
  const auto& only = config_.filters.cpus;
  if (!only.empty() && std::find(only.begin(), only.end(), cpu) == only.end()) {
    // nothing is counted there, but threads move: their slots are kept on all CPUs
    if (off_object_) off_object_->AddCpu(cpu, kTokenRingBytes);
    unwanted_cpus_.insert(cpu);
    return;
  }
  CpuState& state = cpus_[cpu];
  state.cpu = cpu;
  proc_object_->AddCpu(cpu, kProcRingBytes);
  if (off_object_) {
    off_object_->AddCpu(cpu, off_ring_bytes_);
    off_object_->AreaOf<lf_off_area>(cpu)->threshold_ns = config_.threshold_ns;
    off_object_->AreaOf<lf_off_area>(cpu)->threshold_max_ns = config_.threshold_ns;
  }
  if (young_) {
    auto [area, ring] = young_->copies()->AddCpu(cpu, copy_ring_bytes_);
    if (area) unwind_owner_->Adopt("lf_uw_areas[" + std::to_string(cpu) + "]", std::move(area));
    if (ring) unwind_owner_->Adopt("lf_uw_rings[" + std::to_string(cpu) + "]", std::move(ring));
  }
  if (lock_object_) lock_object_->AddCpu(cpu, lock_ring_bytes_);
  if (call_object_) call_object_->AddCpu(cpu, call_ring_bytes_);
  if (cpu_object_) {
    cpu_object_->AddCpu(cpu, cpu_ring_bytes_);
    auto ring =
        std::make_unique<PerfRing>(cpu, config_.frequency_hz, hardware_, !user_half_by_timer_, perf_ring_bytes_);
    cpu_object_->AreaOf<lf_cpu_area>(cpu)->event_id = ring->id();
    if (!user_half_by_timer_)
      cpu_object_->AttachToPerfEvent("lf_cpu_event", ring->OpenGroupMember(hardware_, config_.frequency_hz));
    state.ring = std::move(ring);
  }
}

void Session::Attach() {
  Require(Step::kLoaded, "attach");
  for (int cpu : OnlineCpus()) OpenCpu(cpu);
  if (cpus_.empty())
    throw Error("ECPU", "none of the CPUs named by --cpu is online: see /sys/devices/system/cpu/online");
  proc_object_->Attach();
  if (cpu_object_) cpu_object_->Attach();
  if (off_object_) off_object_->Attach();
  if (lock_object_) AttachLocks();
  if (call_object_) call_object_->Attach();
  // after the programs and their trampolines, so that these are in the kernel's list of names when it is read
  symbolizer_ = Symbolizer::Create();
  interner_ = std::make_unique<Interner>(symbolizer_.get(), static_cast<uint32_t>(getpid()));
  NoteTaskRecords();  // from now on they are kept for names
  step_ = Step::kAttached;
}

std::vector<Object*> Session::Objects() const {
  std::vector<Object*> objects;
  for (Object* o : {proc_object_.get(), cpu_object_.get(), off_object_.get(), lock_object_.get(), call_object_.get()})
    if (o) objects.push_back(o);
  return objects;
}

StartFacts Session::Activate() {
  Require(Step::kAttached, "activate");
  for (Object* o : Objects()) {
    for (const ProgramInfo& p : o->Programs()) start_.programs.push_back(p);
    for (const MapInfo& m : o->Maps()) start_.maps.push_back(m);
  }
  final_.statistics_on = statistics_.Start(MonotonicNs(), DrainIntervalNs());
  if (!final_.statistics_on)
    start_.notes.push_back(
        "the kernel's BPF statistics cannot be switched on (CAP_SYS_ADMIN): own cost is told without them");
  if (final_.statistics_on)
    start_.notes.push_back(
        "what BPF programs cost was measured in the first five seconds and in a small part of the time after, and "
        "scaled: the kernel's statistics cost more than the programs where these run often");
  // PROC_PID_INIT_INO, include/linux/proc_ns.h: elsewhere BPF gives the host's pids, perf and /proc those of the
  // namespace
  constexpr ino_t kInitialPidNamespace = 0xEFFFFFFC;
  struct stat ns {};
  if (stat("/proc/self/ns/pid", &ns) == 0 && ns.st_ino != kInitialPidNamespace)
    start_.notes.push_back(
        "recorded inside a pid namespace, where the kernel's process ids and those of /proc differ: processes may "
        "appear "
        "under wrong names, and user functions without theirs; record on the host, or with the host's pids "
        "(docker run --pid=host)");
  start_.cpu_event = hardware_ ? "cycles" : "cpu-clock";
  for (const auto& [cpu, state] : cpus_) start_.online_cpus.push_back(cpu);
  final_.cpu_times_start = ReadCpuTimes();
  usage_start_ = ReadOwnUsage();
  symbol_thread_ = std::make_unique<SymbolThread>(symbolizer_.get());

  if (config_.sockets) tcp_start_ = ReadTcpState();
  WaitForTables();
  if (off_object_) NoteSleepers();
  if (lock_object_) NoteEarlierLockWaits();
  start_.start_wall_ns = WallNs();
  start_.start_monotonic_ns = MonotonicNs();
  for (auto& [cpu, state] : cpus_) {
    state.online_since_ns = start_.start_monotonic_ns;
    state.last_sample_ns = start_.start_monotonic_ns;
  }
  for (Object* o : Objects()) o->Activate(start_.start_monotonic_ns);
  for (auto& [cpu, state] : cpus_)
    if (state.ring) state.ring->Enable();
  if (lock_object_) DropEndedLockWaits();
  step_ = Step::kActive;
  drain_thread_ = std::thread([this] { DrainLoop(); });
  return start_;
}

void Session::SetWakeup(std::function<void()> wakeup) {
  std::lock_guard<std::mutex> lock(pending_mutex_);
  wakeup_ = std::move(wakeup);
}

bool Session::Take(Batch* out) {
  std::lock_guard<std::mutex> lock(pending_mutex_);
  signalled_ = false;
  if (pending_.tables.empty() && !pending_.size()) return false;
  *out = std::move(pending_);
  pending_ = Batch();
  return true;
}

LiveCounts Session::Live() const {
  return {samples_.load(), stacks_.load(), lost_.load()};
}

void Session::Close() {
  std::lock_guard<std::mutex> life(life_mutex_);
  StopDraining();
  if (drain_thread_.joinable()) drain_thread_.join();
  if (symbol_thread_) symbol_thread_->Stop();
  outside_walks_.reset();
  young_.reset();
  loader_.reset();
  cpus_.clear();
  cpu_object_.reset();
  off_object_.reset();
  lock_object_.reset();
  call_object_.reset();
  slab_object_.reset();
  proc_object_.reset();
  statistics_ = Statistics();
  step_ = Step::kClosed;
}

}  // namespace lowflame
