// The drain thread: empties the rings, joins the two halves of CPU samples, interns, hands batches over.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "session.h"

namespace lowflame {
namespace {

// Short enough to read the mappings of processes that live briefly; rings hold at least 100 ms of the worst rate. Each
// wake-up takes a CPU from somebody: at 20 ms they were half of what a recording cost a saturated proxy.
constexpr uint64_t kIntervalNs = 40000000;
// Where only CPU samples come: their rate is fixed, so no burst can fill a ring before its time.
constexpr uint64_t kSteadyIntervalNs = 80000000;
// Mappings of new processes that are read between two drains: 100 a second.
constexpr uint64_t kExecLookNs = 10000000;
constexpr uint64_t kHotplugIntervalNs = 1000000000ull;
// Few, large batches: each costs JavaScript a message, a gzip member and a walk of the event loop.
constexpr uint64_t kWakeupIntervalNs = 1000000000ull;
constexpr size_t kWakeupSamples = 65536;
constexpr size_t kMaxKnownThreads = 65536;

template <class V>
void Append(V* to, V* from) {
  if (to->empty()) {
    to->swap(*from);
  } else {
    to->insert(to->end(), std::make_move_iterator(from->begin()), std::make_move_iterator(from->end()));
    from->clear();
  }
}

// As /proc tells it now; "?" where the process is gone.
std::string CommOf(uint32_t pid) {
  std::string comm = ReadSmallFile("/proc/" + std::to_string(pid) + "/comm");
  while (!comm.empty() && comm.back() == '\n') comm.pop_back();
  return comm.empty() ? "?" : comm;
}

void AppendSamples(Samples* to, Samples* from) {
  Append(&to->time_ns, &from->time_ns);
  Append(&to->weight_ns, &from->weight_ns);
  Append(&to->duration_ns, &from->duration_ns);
  Append(&to->cpu, &from->cpu);
  Append(&to->thread, &from->thread);
  Append(&to->stack, &from->stack);
  Append(&to->flags, &from->flags);
  Append(&to->state, &from->state);
  Append(&to->syscall, &from->syscall);
  Append(&to->lock, &from->lock);
}

}  // namespace

uint64_t Session::DrainIntervalNs() const {
  return off_object_ || lock_object_ || call_object_ ? kIntervalNs : kSteadyIntervalNs;
}

void Session::DrainLoop() {
  uint64_t next_hotplug = MonotonicNs() + kHotplugIntervalNs, next_drain = MonotonicNs() + DrainIntervalNs();
  while (!stop_) {
    const auto left_ms = static_cast<int>((next_drain - std::min(next_drain, MonotonicNs()) + 999999) / 1000000);
    // a look at a process that was just started cannot wait, but too many of them can
    const bool looks = exec_looks_ < DrainIntervalNs() / kExecLookNs;
    pollfd waits[] = {{stop_fd_.get(), POLLIN, 0}, {looks ? proc_object_->WakeFd() : -1, POLLIN, 0}};
    poll(waits, 2, left_ms);
    if (stop_) break;
    if (MonotonicNs() < next_drain) {
      proc_object_->Drain();
      continue;
    }
    next_drain = MonotonicNs() + DrainIntervalNs();
    exec_looks_ = 0;
    statistics_.Tick(MonotonicNs());
    DrainOnce(false);
    if (MonotonicNs() >= next_hotplug) {
      WatchHotplug();
      next_hotplug = MonotonicNs() + kHotplugIntervalNs;
    }
  }
}

void Session::StopDraining() {
  stop_ = true;
  uint64_t one = 1;
  if (write(stop_fd_.get(), &one, sizeof(one)) < 0) return;  // full: it wakes up all the same
}

void Session::DrainOnce(bool last) {
  NoteTaskRecords();
  interner_->LookAtKernel();
  proc_object_->Drain();
  if (cpu_object_) DrainCpu();
  if (off_object_) off_object_->Drain();
  if (lock_object_) DrainLocks();
  if (call_object_) DrainCalls();
  ahead_.PassDone();
  if (young_) young_->copies()->PassDone();
  EmitHeldWaits(last);
  lost_ = CountLost();
  stacks_ = interner_->nodes();

  std::vector<FrameToName> to_name;
  interner_->TakeNew(&work_.tables, &to_name);
  symbol_thread_->Add(&to_name);
  std::vector<NameRow> names = symbol_thread_->Take();
  Append(&work_.tables.names, &names);
  std::vector<SourceRow> sources = symbol_thread_->TakeSources();
  Append(&work_.tables.sources, &sources);

  std::function<void()> wakeup;
  {
    std::lock_guard<std::mutex> lock(pending_mutex_);
    size_t coming = work_.size();
    if (coming && pending_.size() + coming > config_.queue_samples) {
      queue_full_ += coming;
      work_.samples = {};
    }
    for (size_t i = 0; i < kSources; i++) AppendSamples(&pending_.samples[i], &work_.samples[i]);
    Tables &to = pending_.tables, &from = work_.tables;
    if (to.frame_module.empty()) to.first_frame = from.first_frame;
    if (to.node_parent.empty()) to.first_node = from.first_node;
    Append(&to.processes, &from.processes);
    Append(&to.threads, &from.threads);
    Append(&to.modules, &from.modules);
    Append(&to.frame_module, &from.frame_module);
    Append(&to.frame_offset, &from.frame_offset);
    Append(&to.frame_kind, &from.frame_kind);
    Append(&to.node_parent, &from.node_parent);
    Append(&to.node_frame, &from.node_frame);
    Append(&to.names, &from.names);
    Append(&to.sources, &from.sources);
    Append(&to.locks, &from.locks);
    Append(&to.endpoints, &from.endpoints);
    Append(&to.calls, &from.calls);
    Append(&to.socket_counts, &from.socket_counts);
    uint64_t now = MonotonicNs();
    bool something = pending_.size() || !to.empty();
    bool due = now - last_wakeup_ns_ >= kWakeupIntervalNs || pending_.size() >= kWakeupSamples;
    if (something && wakeup_ && (last || (!signalled_ && due))) {
      signalled_ = true;
      last_wakeup_ns_ = now;
      wakeup = wakeup_;
    }
  }
  if (wakeup) wakeup();
}

void Session::DrainCpu() {
  // The perf rings first: whatever they hold by now has its user half in the other ring already.
  std::vector<std::pair<CpuState*, PerfDrain>> drained;
  for (auto& [cpu, state] : cpus_) {
    if (!state.ring) continue;
    scratch_.Clear();
    state.ring->Drain(&scratch_);
    perf_lost_ += scratch_.lost;
    perf_throttled_ += scratch_.throttled;
    if (!scratch_.samples.empty()) drained.emplace_back(&state, std::move(scratch_));
    scratch_ = PerfDrain();
  }
  cpu_object_->Drain();
  NoteTaskRecords();
  for (auto& [state, drain] : drained) JoinCpu(state, drain);
}

void Session::OnCpuRecord(const lf_record* r, size_t size) {
  auto it = cpus_.find(static_cast<int>(r->cpu));
  if (it == cpus_.end() || size < sizeof(lf_record) + r->user_frames * sizeof(uint64_t)) return;
  CpuState& state = it->second;
  r = TakeUserHalf(r, &size, sizeof(lf_record));
  const auto* frames = reinterpret_cast<const uint64_t*>(r + 1);
  if (known_threads_.size() >= kMaxKnownThreads) known_threads_.clear();
  known_threads_[r->tid] = *r;
  if (object_config_.user_stack_in_chain) return;
  auto begin = static_cast<uint32_t>(state.half_frames.size());
  state.half_frames.insert(state.half_frames.end(), frames, frames + r->user_frames);
  state.halves.push_back({*r, begin, false});
}

bool Session::InSoftirq(const PerfDrain& drain, const PerfSample& s) const {
  for (uint32_t i = 0; i < s.chain_length; i++)
    for (const KernelRange& r : softirq_ranges_)
      if (r.contains(drain.addresses[s.chain_begin + i])) return true;
  return false;
}

const lf_record* Session::KnownThread(uint32_t tid) const {
  auto it = known_threads_.find(tid);
  return it == known_threads_.end() ? nullptr : &it->second;
}

// A sample whose user half did not come: was it left out by a filter in the kernel, or lost?
bool Session::Wanted(const PerfSample& s, const lf_record* who) const {
  const Filters& f = config_.filters;
  if (!f.pids.empty() && std::find(f.pids.begin(), f.pids.end(), s.pid) == f.pids.end()) return false;
  if (f.comms.empty() && f.cgroups.empty()) return true;
  return who && who->tgid == s.pid;  // its halves came before, so it is ours
}

void Session::JoinCpu(CpuState* cpu, const PerfDrain& drain) {
  const bool filtered =
      !config_.filters.pids.empty() || !config_.filters.comms.empty() || !config_.filters.cgroups.empty();
  const double period = 1e9 / config_.frequency_hz;
  for (const PerfSample& s : drain.samples) {
    cpu->received++;
    const UserHalf* half = user_half_by_timer_ ? HalfOfTimer(cpu, s) : HalfOfSameMoment(cpu, drain, s);
    // a thread that is past its exit has no ids any more for perf, and one outside of our pid namespace has the idle
    // task's; its half still knows them
    const bool exiting = s.tid == UINT32_MAX, outside = s.tid == 0 && half && half->h.tid != 0;

    Sample out{};
    out.flags = s.chain_truncated ? LF_KERNEL_TRUNCATED : 0;
    out.syscall = -1;
    RawStack raw;
    raw.time_ns = s.time_ns;
    raw.kernel = drain.addresses.data() + s.chain_begin;
    raw.kernel_frames = s.chain_length;
    uint32_t process;
    if (s.tid == 0 && !outside) {
      // the idle task: only work done on top of it, in interrupt context, is time that somebody used
      if (filtered || !InSoftirq(drain, s)) {
        cpu->idle++;
        continue;
      }
      process = interner_->Process(0, 0, "idle/softirq", true);
      out.thread = interner_->Thread(0, process, "idle/softirq");
      out.flags |= LF_SOFTIRQ_ON_IDLE;
    } else {
      const lf_record* who = half ? &half->h : KnownThread(s.tid);
      if (!half && filtered && !Wanted(s, who)) continue;
      if (!half && exiting) {
        process = interner_->Process(0, 1, "exiting", false);
        out.thread = interner_->Thread(0, process, "exiting");
      } else if (who && (who->tgid == s.pid || exiting || outside)) {
        bool kernel_thread = who->task_flags & 0x00200000;  // PF_KTHREAD
        process = interner_->Process(who->tgid, who->start_time_ns, who->leader_comm, kernel_thread);
        out.thread = interner_->Thread(who->tid, process, who->comm);
      } else {
        std::string comm = CommOf(s.pid);
        process = interner_->Process(s.pid, 0, comm.c_str(), false);
        out.thread = interner_->Thread(s.tid, process, comm.c_str());
      }
      if (half) {
        out.syscall = s.user_mode ? -1 : half->h.syscall;
        raw.user = cpu->half_frames.data() + half->begin;
        raw.user_frames = half->h.user_frames;
      } else if (!user_half_by_timer_) {
        raw.user = drain.addresses.data() + s.user_begin;
        raw.user_frames = s.user_length;
        if (s.user_length >= LF_MAX_FRAMES) out.flags |= LF_USER_TRUNCATED;
        if (loader_ && s.user_length) halves_by_chain_++;
        if (!who) halves_missing_++;
      } else {
        halves_missing_++;
        out.flags |= LF_USER_MISSING;
        if (s.user_mode) {
          raw.user = &s.ip;
          raw.user_frames = 1;
        }
      }
    }
    out.time_ns = static_cast<double>(s.time_ns - std::min(s.time_ns, start_.start_monotonic_ns));
    out.cpu = static_cast<uint32_t>(cpu->cpu);
    out.weight_ns = period;
    bool cut = false;
    out.stack = interner_->Stack(process, raw, &cut);
    if (half) out.flags |= FlagsOf(half->h, cut);
    Emit(Source::kCpu, out);
  }
  ForgetHalves(cpu);
}

void Session::Emit(Source source, const Sample& sample) {
  Samples& to = work_.of(source);
  to.Add(sample);
  if (source >= Source::kLocks) to.lock.push_back(sample.lock);
  samples_++;
}

void Session::OnProcRecord(const lf_record* r, size_t) {
  if (r->kind != LF_RECORD_EXEC) return;
  exec_looks_++;
  NoteTaskRecords();
  symbolizer_->ProcessExec(r->tgid, r->start_time_ns, r->time_ns, exec_looks_ <= DrainIntervalNs() / kExecLookNs);
  // who is only ever counted has no sample that names it, and may be gone when the counts are read
  if (exec_names_.size() >= kMaxKnownThreads) exec_names_.clear();
  exec_names_[{r->tgid, r->start_time_ns}] = std::string(r->leader_comm, strnlen(r->leader_comm, LF_COMM_LEN));
}

void Session::WatchHotplug() {
  std::vector<int> online = OnlineCpus();
  if (online.empty()) return;
  uint64_t now = MonotonicNs();
  for (auto& [cpu, state] : cpus_) {
    bool here = std::find(online.begin(), online.end(), cpu) != online.end();
    if (!here && state.online_since_ns) {
      // the kernel has taken the event off the CPU for good: a new one is needed when it returns
      hotplug_++;
      state.online_ns += now - state.online_since_ns;
      state.online_since_ns = 0;
      state.ring.reset();
    }
  }
  for (int cpu : online) {
    auto it = cpus_.find(cpu);
    if (it != cpus_.end() && it->second.online_since_ns) continue;
    try {
      OpenCpu(cpu);
    } catch (const std::exception&) {
      continue;  // it went again: next time
    }
    it = cpus_.find(cpu);
    if (it == cpus_.end()) continue;  // not wanted by --cpu
    if (loader_) loader_->AddCpu(cpu);
    hotplug_++;
    it->second.online_since_ns = now;
    it->second.last_sample_ns = now;
    if (it->second.ring) it->second.ring->Enable();
  }
}

}  // namespace lowflame
