// One recording, without any Node in it: owns the BPF objects, the perf rings, the drain thread and the symbol thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "../core/samples.h"
#include "../kernel/kernel_functions.h"
#include "../kernel/machine.h"
#include "../kernel/objects.h"
#include "../kernel/other_programs.h"
#include "../kernel/perf_ring.h"
#include "../kernel/statistics.h"
#include "../kernel/tcp_files.h"
#include "../loader/loader.h"
#include "facts.h"
#include "futex_words.h"
#include "interner.h"
#include "lock_names.h"
#include "lock_paths.h"
#include "owner_waits.h"
#include "stacks_ahead.h"
#include "symbol_thread.h"
#include "task_record.h"
#include "young_stacks.h"

namespace lowflame {

struct SessionConfig {
  bool cpu = true, offcpu = false, locks = false, futex = false, sockets = false;
  uint32_t frequency_hz = 99;
  Filters filters;
  uint64_t threshold_ns = 5000000;
  uint64_t slow_call_ns = 0;  // 0: the defaults, one for busy and one for blocked calls
  uint32_t thread_slots = 0;
  uint32_t ring_bytes = 0;
  uint32_t table_rows = 0;
  // What JavaScript may leave lying; beyond it samples are dropped and counted.
  size_t queue_samples = 2u << 20;
  bool unwind = true;                // user stacks from unwind tables; else by frame pointer
  uint64_t unwind_bytes = 0;         // kernel memory for tables; 0 = 64 MiB
  std::vector<std::string> without;  // kernel features to do without, as an older kernel would
};

// Path of a version 2 cgroup in its hierarchy, from its directory.
std::string CgroupPathOf(const std::string& directory);

class Session {
 public:
  Session();
  ~Session();

  // In this order; each throws Error when called out of order or when the kernel says no.
  void Configure(const SessionConfig& config);
  void Load();
  void Attach();
  StartFacts Activate();
  // Stops events, charges waits in progress, drains, names. Blocks; call it off the event loop.
  void Deactivate();
  FinalFacts Finish();
  // Any time, any number of times, from any thread that is not one of the session's.
  void Close();

  // Called by the drain thread (at most every 50 ms) when there is something to take.
  void SetWakeup(std::function<void()> wakeup);
  // Moves what has come into `out`. Returns false if there was nothing.
  bool Take(Batch* out);
  LiveCounts Live() const;

 private:
  enum class Step { kNew, kConfigured, kLoaded, kAttached, kActive, kStopped, kClosed };
  struct UserHalf {
    lf_record h;
    uint32_t begin;  // in half_frames
    bool used;
  };
  struct CpuState {
    int cpu = 0;
    std::unique_ptr<PerfRing> ring;
    std::vector<UserHalf> halves;  // not yet joined, oldest first
    std::vector<uint64_t> half_frames;
    size_t halves_done = 0;  // of the drain under way
    uint64_t last_sample_ns = 0;
    uint64_t received = 0, idle = 0;
    uint64_t online_since_ns = 0, online_ns = 0;
  };

  void Require(Step step, const char* what) const;
  void DrainLoop();
  uint64_t DrainIntervalNs() const;
  void StopDraining();
  void DrainOnce(bool last);
  void DrainCpu();
  // user_halves.cc
  const UserHalf* HalfOfTimer(CpuState* cpu, const PerfSample& s);
  const UserHalf* HalfOfSameMoment(CpuState* cpu, const PerfDrain& drain, const PerfSample& s);
  void ForgetHalves(CpuState* cpu);
  void JoinCpu(CpuState* cpu, const PerfDrain& drain);
  void OnCpuRecord(const lf_record* r, size_t size);
  void OnOffCpuRecord(const lf_record* r, size_t size);
  void OnProcRecord(const lf_record* r, size_t size);
  // All that is loaded, but for what has no programs attached.
  std::vector<Object*> Objects() const;
  // unwind.cc
  void LoadWithUnwinding(Object* object);
  void WaitForTables();
  void StopLoader();
  std::vector<uint64_t> BothStacks(TaskRecord* task);
  uint32_t FlagsOf(const lf_record& r, bool cut) const;
  const lf_record* TakeUserHalf(const lf_record* r, size_t* size, size_t user_at);
  void CollectUnwinding();
  void NoteTaskRecords();
  // locks.cc
  void LoadLocks();
  void AttachLocks();
  void DrainLocks();
  void OnLockRecord(const lf_record_lock* r, size_t size);
  void EmitLock(const Sample& sample);
  Sample MakeLockWait(const lf_record_lock* r);
  // `process`: its id in the interner, -1 = it has none.
  uint32_t LockId(uint64_t address, uint32_t kind, uint32_t object, uint32_t tgid, int64_t process);
  // "nginx (pid 80)", for names of locks; of a process without an id /proc is asked.
  std::string NameOfProcess(uint32_t tgid, int64_t process) const;
  void NameLocks();
  void ChargeLockWaiters();
  LockTotal& TotalOf(int64_t lock, int64_t process);
  // As lf_bucket in bpf/buckets.h: two an octave from 1,024 ns.
  static size_t BucketOf(uint64_t ns);
  void CollectLocks();
  // earlier_lock_waits.cc
  struct EarlierLockWait {
    TaskRecord task;  // as it was before the activation
    LockPaths::Wait wait;
  };
  std::map<uint64_t, EarlierLockWait> LockWaitsByStack();
  void NoteEarlierLockWaits();
  void DropEndedLockWaits();
  void ChargeEarlierLockWaits();
  uint32_t LockIdByCallSite(const LockPaths::Wait& wait);
  void EmitWithOwner(Source waits, Source owners, const Sample& sample);
  void EmitWait(const Sample& sample);
  void EmitHeldWaits(bool all);
  // futex.cc
  void NoteFutex(const lf_record& r, uint32_t process, Sample* wait);
  uint32_t OwnerInMemory(uint32_t tgid, uint64_t address, uint32_t kind);
  void ChargeFutexWaiter(const lf_record& r, int64_t process, uint32_t lock);
  std::string FutexName(uint64_t address, uint32_t tgid, int64_t process) const;
  uint32_t FutexId(uint64_t address, uint32_t kind, uint32_t tgid, int64_t process);
  struct InnerThread;
  const InnerThread& OuterThread(uint32_t tgid, uint32_t inner_tid, bool as_is);
  void CollectFutexes();
  // sockets.cc
  void LoadSockets();
  void DrainCalls();
  void EndDescriptorSecond(uint64_t now_ns);
  void OnCallRecord(const lf_record_call* r, size_t size);
  int64_t EndpointId(const lf_endpoint& end, const char* name, uint32_t name_length);
  void NoteRowNames();
  void CollectCalls();
  // call_totals.cc
  int64_t ProcessOfRow(uint64_t key, uint64_t start_time_ns, bool full);
  void AddCallRow(const lf_call_row& r, bool other);
  void AddEndpointRow(const lf_endpoint_row& r, bool other);
  // Rows of processes that ended, where the kernel's tables fill up.
  void TakeEndedCalls(uint64_t now);
  // open_calls.cc
  std::map<uint32_t, lf_open_call> OpenCalls();
  bool NothingAsked(uint32_t tgid, const lf_open_call& call);
  void ChargeCalls();
  // connections.cc
  void CollectConnections();
  void CollectConnecting();
  void CollectTcpState();
  struct Holder {
    int64_t process;  // -1 = unknown
    int fd;
    bool wanted;
  };
  using Holders = std::map<uint64_t, Holder>;  // by inode
  Holders HoldersOf(const TcpState& state);
  bool Filtered() const;
  int64_t ProcessOfTotals(uint32_t pid, uint64_t start_time_ns);
  size_t SchedulerFrames(const uint64_t* frames, size_t count) const;
  Sample MakeWait(const lf_record* r, const uint64_t* frames, uint32_t flags);
  // Who a thread is, from its last user half; nullptr if none came yet.
  const lf_record* KnownThread(uint32_t tid) const;
  bool Wanted(const PerfSample& s, const lf_record* who) const;
  void Emit(Source source, const Sample& sample);
  void WatchHotplug();
  void OpenCpu(int cpu);
  std::vector<char> ReadTasks(const char* iterator, size_t record_bytes, Object* object = nullptr);
  void NoteSleepers();
  void ChargeSleepers();
  void Collect();
  bool InWantedCgroup(uint32_t tgid) const;
  void ChargeRunnable(const lf_record& r, uint64_t ns);
  bool InSoftirq(const PerfDrain& drain, const PerfSample& s) const;
  uint64_t CountLost() const;

  std::mutex life_mutex_;  // held by deactivate and close, which may come from two threads
  Step step_ = Step::kNew;
  SessionConfig config_;
  KernelFeatures features_;
  bool hardware_ = false, user_half_by_timer_ = true;
  uint32_t slots_ = 0, cpu_ring_bytes_ = 0, off_ring_bytes_ = 0, lock_ring_bytes_ = 0, call_ring_bytes_ = 0,
           perf_ring_bytes_ = 0, copy_ring_bytes_ = 0;
  ObjectConfig object_config_;
  std::unique_ptr<Object> cpu_object_, off_object_, proc_object_, lock_object_, slab_object_, call_object_;
  Object* unwind_owner_ = nullptr;  // whose maps the others share
  std::unique_ptr<UnwindLoader> loader_;
  std::unique_ptr<YoungStacks> young_;
  std::unique_ptr<OutsideWalks> outside_walks_;  // at the end, once the loader has stopped
  Statistics statistics_;
  std::map<int, CpuState> cpus_;
  std::unique_ptr<KernelFunctions> kernel_functions_;  // until all is loaded
  std::vector<KernelRange> softirq_ranges_, schedule_ranges_, tracing_ranges_;
  StartFacts start_;
  FinalFacts final_;
  OwnUsage usage_start_{};
  std::map<uint32_t, OtherProgramRaw> bpf_runs_;  // by program id, at the end

  std::unique_ptr<Symbolizer> symbolizer_;
  std::unique_ptr<Interner> interner_;
  std::unique_ptr<SymbolThread> symbol_thread_;

  StacksAhead ahead_, lock_ahead_;
  OwnerWaits owner_waits_;
  LockNames lock_names_;
  LockPaths lock_paths_;
  std::map<uint64_t, EarlierLockWait> earlier_lock_waits_;  // by key of the thread, as in lf_lock_wait
  int earlier_locks_ = -1;                                  // the map of them, the object's; -1 = there are none
  // by address, kind, and process where the lock is one's own
  std::map<std::tuple<uint64_t, uint32_t, uint32_t, uint32_t>, uint32_t> lock_ids_;
  std::vector<LockRow> locks_to_name_;
  uint64_t locks_dropped_ = 0;
  static constexpr size_t kMaxLocks = 65536;
  FutexWords futex_words_;
  struct InnerThread {
    uint64_t asked_ns;
    uint32_t tid;
    std::string comm;
  };
  std::map<std::pair<uint32_t, uint32_t>, InnerThread> inner_threads_;  // by process, and thread id as it knows it
  std::map<std::pair<int64_t, int64_t>, LockTotal> lock_totals_;
  std::map<std::tuple<uint64_t, uint64_t, uint64_t>, uint32_t> endpoint_ids_;  // family, role, port, protocol; address
  TcpState tcp_start_;
  uint64_t endpoints_dropped_ = 0, next_socket_counts_ns_ = 0, next_take_ns_ = 0, calls_cut_ = 0, ends_cut_ = 0;
  std::map<std::pair<int64_t, int32_t>, CallTotal> call_totals_;
  std::map<std::pair<int64_t, int64_t>, EndpointTotal> endpoint_totals_;
  std::map<std::pair<uint32_t, uint64_t>, std::pair<uint64_t, uint64_t>> socket_counts_;  // by pid and start time
  DescriptorSeconds descriptor_seconds_;
  std::map<std::pair<uint32_t, uint64_t>, std::string> exec_names_, row_names_;
  std::unordered_map<uint32_t, lf_record> known_threads_;

  std::thread drain_thread_;
  UniqueFd stop_fd_;
  uint32_t exec_looks_ = 0;  // since the last drain
  std::atomic<bool> stop_{false};

  mutable std::mutex pending_mutex_;
  Batch pending_;
  Batch work_;  // of the drain under way
  std::function<void()> wakeup_;
  bool signalled_ = false;
  uint64_t last_wakeup_ns_ = 0, task_records_lost_ = 0;

  std::atomic<uint64_t> samples_{0}, stacks_{0}, lost_{0};
  uint64_t queue_full_ = 0, perf_lost_ = 0, perf_throttled_ = 0, halves_missing_ = 0, halves_orphaned_ = 0;
  uint64_t halves_by_chain_ = 0, hotplug_ = 0, names_left_ = 0, tasks_cut_ = 0, slotless_sleepers_ = 0, gone_on_ = 0;
  PerfDrain scratch_;
  std::map<std::pair<int64_t, uint32_t>, TotalRow> in_progress_totals_;
  std::map<int64_t, RunQueueRow> in_progress_run_queue_;
  std::vector<std::string> wanted_cgroups_;
  std::set<int> unwanted_cpus_;
};

}  // namespace lowflame
