// Keeps the BPF unwinder's maps filled, in a thread of its own: who has what mapped, and the tables of those files.
// Learns of the processes that run when it starts from /proc, of all that changes afterwards from perf records, and
// reads a process again when a stack of it was cut short.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "../core/unique_fd.h"
#include "../kernel/task_log.h"
#include "../kernel/unwind_maps.h"
#include "modules.h"
#include "outside_walks.h"
#include "processes.h"

namespace lowflame {

class UnwindLoader {
 public:
  struct Config {
    UnwindMaps::Fds maps;
    std::vector<int> cpus;               // whose records to read: all that are online
    std::vector<uint32_t> only;          // process ids; empty = all
    uint64_t table_bytes = 64ull << 20;  // kernel memory for tables
  };
  // Starts. Throws Error where perf events or descriptors cannot be had.
  explicit UnwindLoader(const Config& config);
  ~UnwindLoader() { Stop(); }
  UnwindLoader(const UnwindLoader&) = delete;
  UnwindLoader& operator=(const UnwindLoader&) = delete;

  // Waits until the processes that used CPU lately are known, at most `ms`. Returns whether they are.
  bool WaitUntilReady(int ms);
  // A CPU has come: its records too. Any thread.
  void AddCpu(int cpu);
  // A stack of the process was cut short (lf_uw_stop); its user half, leaf first, at least one. Cheap; any thread.
  void CutShort(uint32_t pid, uint64_t start_time_ns, uint8_t stop, const uint64_t* frames, size_t count);
  // User half of a sample, so that what is in use stays. Cheap; any thread.
  void Used(uint32_t pid, const uint64_t* addresses, size_t count);
  // What tasks did to their memory since the last call, for names. Any thread, also once it has stopped.
  TaskLog::ForNames TakeForNames() { return log_.TakeForNames(); }
  void Stop();
  // Once it has stopped: walks with its tables in user space, `most_ns` of them in all. To be gone before the loader.
  std::unique_ptr<OutsideWalks> WalksFromOutside(uint64_t most_ns) {
    return std::make_unique<OutsideWalks>(&modules_, most_ns);
  }

  struct Loss {
    const char* id;
    uint64_t count;
    const char* meaning;
  };
  std::vector<Loss> Losses() const;
  struct Facts {
    uint64_t processes, parts, tables, table_bytes, tables_built, build_ns, evicted, reread, files_without,
        files_unreadable, rows_left_out, rings_bytes;
  };
  Facts Now() const;

 private:
  struct Ask {
    uint64_t start_time_ns;
    uint8_t stop;
    std::vector<uint64_t> frames;
  };
  void Run();
  void Wait();
  void LearnRunning();
  bool ReadSome();
  bool ReadProcess(uint32_t pid, UnwindModules::Want want, uint64_t asked_address);
  bool Wanted(uint32_t pid) const;
  void Events();
  void Apply(const TaskEvent& event);
  void Asked();
  bool SplitsFile(uint32_t pid, const Mapping& mapping) const;
  void ReadMoved();
  bool Lacks(uint32_t pid, uint8_t stop, uint64_t address) const;
  void Answer(uint32_t pid, const Ask& ask);
  void NoteUsed();
  void CheckEnded();
  void Write();
  void WriteProcess(uint32_t pid);
  void MakeRoomFor(uint32_t pid, size_t parts);
  void Pace();

  const Config config_;
  UnwindMaps maps_;
  UnwindModules modules_;
  UnwindProcesses processes_;
  UniqueFd wake_fd_;

  mutable std::mutex mutex_;  // what other threads reach
  std::condition_variable ready_changed_;
  bool ready_ = false;
  std::map<uint32_t, Ask> asks_;
  std::vector<std::pair<uint32_t, uint64_t>> used_;
  std::vector<int> new_cpus_;

  TaskLog log_;

  // the loader's thread alone
  std::vector<uint32_t> to_read_;  // last first
  size_t busy_left_ = 0;
  struct Look {
    uint64_t at_ns, after_ns;
  };
  std::map<uint32_t, Look> ended_;      // first thread is gone: to be looked at again
  std::map<uint32_t, uint64_t> moved_;  // its text is being copied: when to read it again
  uint64_t lost_swept_ = 0, swept_ns_ = 0, freed_ns_ = 0, recycled_ns_ = 0;
  uint64_t parts_ = 0;

  std::atomic<bool> stop_{false}, tight_{false};
  std::atomic<uint64_t> known_{0}, parts_written_{0}, reread_{0}, asks_dropped_{0}, left_out_{0}, mappings_left_out_{0},
      unseen_cpus_{0};
  std::thread thread_;
};

}  // namespace lowflame
