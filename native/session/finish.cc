// The end of a recording: stop, collect totals, losses and cost.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../core/error.h"
#include "session.h"

namespace lowflame {
namespace {

constexpr int kNamesTimeoutMs = 20000, kSourcesTimeoutMs = 15000;

}  // namespace

void Session::Deactivate() {
  std::lock_guard<std::mutex> life(life_mutex_);
  if (step_ == Step::kClosed) return;  // a close that overtook this has ended everything
  Require(Step::kActive, "deactivate");
  StopDraining();
  drain_thread_.join();

  for (auto& [cpu, state] : cpus_)
    if (state.ring) state.ring->Disable();
  for (Object* o : Objects()) o->Activate(0);
  final_.end_monotonic_ns = MonotonicNs();
  StopLoader();
  final_.cpu_times_end = ReadCpuTimes();
  bpf_runs_ = statistics_.Stop(final_.end_monotonic_ns);
  OwnUsage usage = ReadOwnUsage();
  final_.agent_user_ns = usage.user_ns - usage_start_.user_ns;
  final_.agent_system_ns = usage.system_ns - usage_start_.system_ns;

  DrainOnce(false);
  if (off_object_) ChargeSleepers();
  EmitHeldWaits(true);
  if (call_object_) ChargeCalls();
  if (lock_object_) {
    ChargeLockWaiters();
    ChargeEarlierLockWaits();
  }
  Collect();
  outside_walks_.reset();
  for (Object* o : Objects()) o->Detach();
  for (auto& [cpu, state] : cpus_) state.ring.reset();

  // what is interned but not yet handed over goes to the symbol thread first
  DrainOnce(false);
  names_left_ = symbol_thread_->Finish(kNamesTimeoutMs);
  final_.losses.push_back({"symbols.unnamed_at_end", names_left_,
                           "frames whose names were not found in time; they are shown as file and offset"});
  const uint64_t sources_left = symbol_thread_->FinishSources(kSourcesTimeoutMs);
  final_.losses.push_back({"symbols.lines_left", sources_left,
                           "frames whose source lines and inlined functions were not found in time; record fewer "
                           "programs with debug information at once (--pid, --comm)"});
  final_.losses.push_back(
      {"symbols.debug_info_too_large", symbolizer_->Stats().debug_files_refused,
       "program files whose debug information is damaged, takes more than 128 MiB, or more than 5 s "
       "to read; some or all of their frames have neither source lines nor inlined functions"});
  final_.losses.push_back({"symbols.files_changed", symbolizer_->Stats().files_changed,
                           "program files that were written over after they were read; what was asked for later has "
                           "neither names nor source lines"});
  DrainOnce(true);
  symbol_thread_->Stop();
  step_ = Step::kStopped;
}

FinalFacts Session::Finish() {
  Require(Step::kStopped, "finish");
  return final_;
}

uint64_t Session::CountLost() const {
  uint64_t lost = perf_lost_ + queue_full_ + ahead_.orphaned() + lock_ahead_.orphaned();
  for (const auto& [cpu, state] : cpus_) {
    if (cpu_object_)
      if (const auto* a = cpu_object_->AreaOf<lf_cpu_area>(cpu)) lost += a->counter[LF_CPU_RING_FULL];
    if (off_object_)
      if (const auto* a = off_object_->AreaOf<lf_off_area>(cpu))
        lost += a->counter[LF_OFF_RING_FULL] + a->counter[LF_OFF_SLOT_COLLISION];
    if (lock_object_)
      if (const auto* a = lock_object_->AreaOf<lf_lock_area>(cpu))
        lost += a->counter[LF_LOCKS_RING_FULL] + a->begin_counter[LF_LOCKS_RING_FULL] +
                a->begin_counter[LF_LOCKS_SLOT_COLLISION];
  }
  return lost;
}

// A process that only ever waited briefly has no sample: its row gives it an id.
int64_t Session::ProcessOfTotals(uint32_t pid, uint64_t start_time_ns) {
  int64_t known = interner_->FindProcess(pid, start_time_ns);
  if (known >= 0) return known;
  if (pid == 0) return interner_->Process(0, 0, "idle/softirq", true);
  std::string comm = ReadSmallFile("/proc/" + std::to_string(pid) + "/comm");
  if (!comm.empty() && comm.back() == '\n') comm.pop_back();
  // kernel threads map nothing
  bool kernel_thread = !comm.empty() && ReadSmallFile("/proc/" + std::to_string(pid) + "/maps").empty();
  const std::pair<uint32_t, uint64_t> key(pid, start_time_ns);
  if (auto seen = row_names_.find(key); comm.empty() && seen != row_names_.end()) comm = seen->second;
  if (auto started = exec_names_.find(key); started != exec_names_.end()) {
    comm = started->second;
    kernel_thread = false;
  }
  return interner_->Process(pid, start_time_ns, comm.empty() ? "?" : comm.c_str(), kernel_thread);
}

void Session::Collect() {
  if (call_object_) NoteRowNames();
  uint64_t cpu_sum[LF_CPU_COUNTERS] = {}, off_sum[LF_OFF_COUNTERS] = {}, proc_full = 0;
  std::map<std::pair<int64_t, uint32_t>, TotalRow> totals = in_progress_totals_;
  std::map<int64_t, RunQueueRow> runq = in_progress_run_queue_;
  for (auto& [cpu, state] : cpus_) {
    if (cpu_object_)
      if (const auto* a = cpu_object_->AreaOf<lf_cpu_area>(cpu))
        for (int i = 0; i < LF_CPU_COUNTERS; i++) cpu_sum[i] += a->counter[i];
    if (const auto* a = proc_object_->AreaOf<lf_proc_area>(cpu)) proc_full += a->ring_full + a->no_ring;
    const auto* area = off_object_ ? off_object_->AreaOf<lf_off_area>(cpu) : nullptr;
    if (!area) continue;
    for (int i = 0; i < LF_OFF_COUNTERS; i++) off_sum[i] += area->counter[i];
    final_.threshold_max_ns = std::max<uint64_t>(final_.threshold_max_ns, area->threshold_max_ns);
    auto process_of = [&](uint64_t key, uint64_t start, bool other) -> int64_t {
      return other ? -1 : ProcessOfTotals(static_cast<uint32_t>(key), start);
    };
    for (int i = 0; i <= LF_TOTAL_ROWS; i++) {
      const lf_total& t = area->total[i];
      if (t.count) {
        auto state_code =
            i == LF_TOTAL_ROWS ? uint32_t{LF_STATE_OTHER} : static_cast<uint32_t>(t.key >> 32 & 0x7fffffff);
        int64_t process = process_of(t.key, t.start_time_ns, i == LF_TOTAL_ROWS);
        TotalRow& row = totals[{process, state_code}];
        row.process = process;
        row.state = state_code;
        row.count += t.count;
        row.sum_ns += t.sum_ns;
        row.max_ns = std::max<uint64_t>(row.max_ns, t.max_ns);
      }
    }
    for (int i = 0; i <= LF_RUNQ_ROWS; i++) {
      const lf_runq& q = area->runq[i];
      if (q.count) {
        int64_t process = process_of(q.key, q.start_time_ns, i == LF_RUNQ_ROWS);
        RunQueueRow& row = runq[process];
        row.process = process;
        row.count += q.count;
        row.sum_ns += q.sum_ns;
        row.max_ns = std::max<uint64_t>(row.max_ns, q.max_ns);
        row.buckets.resize(LF_RUNQ_BUCKETS);
        for (int b = 0; b < LF_RUNQ_BUCKETS; b++) row.buckets[static_cast<size_t>(b)] += q.bucket[b];
      }
    }
  }
  for (auto& [key, row] : totals) final_.offcpu_totals.push_back(row);
  for (auto& [key, row] : runq) final_.run_queue.push_back(row);

  for (auto& [cpu, state] : cpus_) {
    uint64_t on = state.online_ns + (state.online_since_ns ? final_.end_monotonic_ns - state.online_since_ns : 0);
    if (config_.cpu)
      final_.samples_per_cpu.push_back(
          {cpu, hardware_ ? 0.0 : static_cast<double>(on) * config_.frequency_hz / 1e9, state.received, state.idle});
  }

  uint64_t recursion = 0;
  for (Object* o : Objects()) {
    for (Object::Cost c : o->Costs()) {
      recursion += c.recursion_misses;
      // where others' programs cannot be listed, ours still can
      if (auto run = bpf_runs_.find(c.id); run != bpf_runs_.end()) {
        c.runs = run->second.runs;
        c.ns = run->second.ns;
        bpf_runs_.erase(run);
      }
      final_.program_costs.push_back(c);
    }
    final_.kernel_bytes += o->MemoryBytes();
  }
  for (auto& [cpu, state] : cpus_)
    if (state.ring) final_.kernel_bytes += state.ring->bytes();
  final_.peak_rss_bytes = ReadOwnUsage().peak_rss_bytes;
  std::vector<OtherProgramRaw> others;
  for (auto& [id, program] : bpf_runs_) others.push_back(std::move(program));
  final_.other_programs = WithOwners(others);

  auto loss = [&](const char* id, uint64_t count, const char* meaning) {
    final_.losses.push_back({id, count, meaning});
  };
  if (config_.cpu) {
    loss("perf.lost", perf_lost_, "CPU samples that did not fit into a perf ring; record at a lower frequency (-F)");
    loss("perf.throttled", perf_throttled_,
         "times that the kernel held sampling back; lower -F or raise kernel.perf_event_max_sample_rate");
    loss("cpu.ring_full", cpu_sum[LF_CPU_RING_FULL] + cpu_sum[LF_CPU_NO_RING],
         "user halves of CPU samples that did not fit into their ring; those samples have a kernel half only");
    loss("cpu.user_half_missing", halves_missing_,
         user_half_by_timer_ ? "CPU samples that came without their user half; they are shown without user stack"
                             : "CPU samples of threads that could not be identified; their name comes from /proc");
    loss("cpu.user_half_orphaned", halves_orphaned_, "user halves whose CPU sample never came");
    loss("cpu.user_half_by_chain", halves_by_chain_,
         "CPU samples whose user stack follows frame pointers, for the program that unwinds it did not run at the same "
         "moment");
    loss("cpu.user_unreadable", cpu_sum[LF_CPU_USER_UNREADABLE],
         "CPU samples whose user stack could not be read, of threads that exit or are in an exec as a rule");
    loss("cpu.user_truncated", cpu_sum[LF_CPU_USER_TRUNCATED],
         "CPU samples whose user stack filled all 127 frames: deeper, or astray without frame pointers");
    loss("cpu.hotplug", hotplug_, "times a CPU came or went; up to a second of its time around each is not sampled");
  }
  if (off_object_) {
    loss("offcpu.ring_full", off_sum[LF_OFF_RING_FULL] + off_sum[LF_OFF_NO_RING],
         "stacks of waits that did not fit into their ring; totals by process still count these waits");
    loss("offcpu.ring_full_ns", off_sum[LF_OFF_STACK_LOST_NS],
         "nanoseconds of waiting that those lost stacks stood for; missing in the flame graph");
    for (int cpu : unwanted_cpus_)
      if (const auto* a = off_object_->AreaOf<lf_off_area>(cpu))
        off_sum[LF_OFF_SLOT_COLLISION] += a->counter[LF_OFF_SLOT_COLLISION];
    loss("offcpu.slot_collision", off_sum[LF_OFF_SLOT_COLLISION] + slotless_sleepers_,
         "waits of threads that found no slot in the thread table; not counted anywhere");
    loss("offcpu.orphan_end", off_sum[LF_OFF_ORPHAN_END], "ends of waits whose beginning was not seen");
    loss("offcpu.totals_full", off_sum[LF_OFF_TOTALS_FULL],
         "waits of processes that found no row; their time is in the row \"other\"");
    loss("offcpu.runqueue_full", off_sum[LF_OFF_RUNQ_FULL],
         "run-queue waits of processes that found no row; their time is in the row \"other\"");
    loss("offcpu.kernel_truncated", off_sum[LF_OFF_KERNEL_TRUNCATED],
         "waits with a kernel stack deeper than 127 frames");
    loss("offcpu.user_truncated", off_sum[LF_OFF_USER_TRUNCATED],
         "waits whose user stack filled all 127 frames: deeper, or astray without frame pointers");
    loss("offcpu.user_unreadable", off_sum[LF_OFF_USER_UNREADABLE],
         "waits whose user stack could not be read, of threads that exit or are in an exec as a rule");
    loss("offcpu.stack_ahead_orphaned", ahead_.orphaned(), "stacks sent ahead whose wait was lost, or the reverse");
    loss(
        "offcpu.gone_on", gone_on_,
        "threads that were off the CPU at the end and had gone on when they were looked at; their last wait is counted "
        "without its stack");
    loss("offcpu.tasks_cut", tasks_cut_, "lists of sleeping threads that were cut for their length");
  }
  if (lock_object_) CollectLocks();
  if (config_.futex) {
    CollectFutexes();
    loss(
        "futex.table_full", off_sum[LF_OFF_FUTEX_FULL],
        "waits for futexes that found no row, or lost theirs to one that was waited for longer; their time is in a row "
        "\"other\"");
  }
  for (auto& [key, row] : lock_totals_) final_.lock_totals.push_back(row);
  if (config_.locks || config_.futex)
    loss("locks.too_many", locks_dropped_, "sampled waits of locks and futexes beyond the first 65,536");
  if (call_object_) CollectCalls();
  CollectUnwinding();
  loss("bpf.recursion_missed", recursion, "runs of lowflame's programs that the kernel skipped as recursive");
  loss("proc.ring_full", proc_full,
       "exec events that did not fit; names of those processes may be of the program before");
  loss("intern.stacks_cut", interner_->stacks_dropped(), "stacks cut short because the table of stacks is full");
  {
    std::lock_guard<std::mutex> lock(pending_mutex_);
    loss("queue.full", queue_full_, "samples dropped because the program did not take them in time");
  }
  final_.names = symbolizer_->Stats();
  const SymbolStats& symbols = final_.names;
  loss("symbols.process_gone", symbols.processes_gone,
       "processes that had exited before their mappings could be read; their user frames have no names");
  loss("symbols.files_failed", symbols.files_failed, "program files that could not be opened or parsed");
  loss("symbols.tables_refused", symbols.tables_refused,
       "tables of names in program files (.gnu_debugdata, .gopclntab) that are damaged or too large to be read");
}

}  // namespace lowflame
