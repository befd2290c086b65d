// The program files that processes have mapped: an id and, within a budget of kernel memory, an unwind table each,
// however often a file is mapped. Loader thread only; the counters may be read by others.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "../kernel/unwind_maps.h"
#include "../symbols/elf_header.h"
#include "../symbols/process_maps.h"
#include "../unwind/rules.h"
#include "../unwind/table.h"

namespace lowflame {

// The vdso is the same in every 64-bit process; ours can be read.
UnwindTable BuildVdsoTable(UnwindRules* rules);

class UnwindModules {
 public:
  // When a file's table is to be built.
  enum class Want : uint8_t {
    kLater,  // after all others, if there is room
    kSoon,   // of a busy process or a new one, if there is room
    kFirst,  // of a process that a sample was cut short in, if there is room
    kNow,    // the very file that it was cut short in: others make room
  };
  struct Placed {
    uint32_t table = LF_UW_TABLE_FP;
    uint64_t bias = 0;
  };

  UnwindModules(UnwindMaps* maps, uint64_t budget_bytes);

  // What a mapping of a process is to have in the map of processes. Its table comes with a later Build; until then, and
  // where there is no room, the walk follows frame pointers through the file.
  Placed Place(uint32_t pid, const Mapping& mapping, Want want);
  // Builds tables until the time is over, most wanted first, and brings them into the kernel; those that can wait only
  // `with_later`. One takes 50 ms for a program of 30 MB. Returns the most wanted that is left, if any.
  std::optional<Want> Build(uint64_t until_ns, bool with_later);
  // A table in user space: read back from the kernel, or, where it is not there, built from the file behind `mapping`
  // of process `pid` (a thread will do), which has it. No words: it cannot be had now, or never (Failed).
  UnwindTable TableOf(uint32_t id, uint32_t pid, const Mapping& mapping);
  bool Failed(uint32_t id) const { return id >= by_id_.size() || !by_id_[id] || by_id_[id]->failed; }
  const std::vector<lf_uw_rule>& rules() const { return rules_.rules(); }
  // A sample has a frame in it: others are thrown out before.
  void Used(uint32_t table, uint64_t now_ns);
  // Half of the budget is used: from now on it matters which tables are in use.
  bool tight() const { return bytes_ > budget_ / 2; }
  // Whether the table is in the kernel.
  bool Loaded(uint32_t table) const { return table < by_id_.size() && by_id_[table] && by_id_[table]->bytes; }
  // Ids of files that turned out to have no table: walked by frame pointer from now on.
  std::vector<uint32_t> TakeFailed();
  // No id is left for a file that is new.
  bool IdsUsedUp() const { return free_ids_.empty(); }
  // Frees the ids that no process has (`held[id]` is false).
  void Recycle(const std::vector<bool>& held);

  struct Counts {
    std::atomic<uint64_t> tables{0}, bytes{0};    // in the kernel now
    std::atomic<uint64_t> built{0}, build_ns{0};  // all told
    std::atomic<uint64_t> evicted{0};             // tables thrown out for others
    std::atomic<uint64_t> over_budget{0};         // times that a table which was asked for found no room
    std::atomic<uint64_t> left_out{0};            // files without a table because the budget was used up at first sight
    std::atomic<uint64_t> refused{0};             // tables that the kernel had no memory for
    std::atomic<uint64_t> unreadable{0};          // files that could not be opened
    std::atomic<uint64_t> without{0};             // files without .eh_frame, or with one that cannot be used
    std::atomic<uint64_t> no_id{0};               // files beyond the number of ids
    std::atomic<uint64_t> rows_left_out{0};       // rows of crowded pages
    std::atomic<uint64_t> rules_dropped{0};       // rules beyond the number that the machine's table holds
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Module {
    uint32_t id = 0;
    bool failed = false;   // no table, ever
    std::string identity;  // of the file that it was first seen as
    std::vector<ElfSegment> segments;
    uint64_t bytes = 0;       // in the kernel, or waiting for it; 0 = not loaded
    uint64_t would_take = 0;  // bytes when it was last built
    uint64_t used_ns = 0, refused_ns = 0;
    bool waiting = false;  // for Flush
    bool counted = false;  // as left out
    // to be built, and whose mapping to open it from
    std::optional<Want> want;
    uint32_t pid = 0;
    Mapping mapping{};
  };
  struct Waiting {
    Module* module;
    UnwindTable table;
  };

  Module* ModuleOf(uint32_t pid, const Mapping& mapping);
  Module* NewModule();
  void Queue(Module* module, uint32_t pid, const Mapping& mapping, Want want);
  void BuildOne(Module* module, Want want);
  std::optional<UnwindTable> Make(const Module* module, uint32_t pid, const Mapping& mapping);
  void Flush();
  void Load(Module* module, const UnwindTable& built, Want want);
  bool MakeRoom(uint64_t bytes, Want want);
  void Fail(Module* module);

  UnwindMaps* maps_;
  const uint64_t budget_;
  UnwindRules rules_;
  size_t rules_written_ = 0;
  std::vector<std::unique_ptr<Module>> modules_;
  std::vector<Module*> by_id_;
  std::vector<uint32_t> free_ids_, failed_ids_;
  std::unordered_map<std::string, Module*> by_identity_, by_content_;
  Module no_module_, *vdso_ = nullptr;
  std::array<std::deque<Module*>, 4> queues_;  // by Want; whose `want` is another one has moved on
  std::vector<Waiting> waiting_;
  uint64_t waiting_bytes_ = 0, bytes_ = 0;
  Counts counts_;
};

}  // namespace lowflame
