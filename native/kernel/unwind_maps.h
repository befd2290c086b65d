// Writes the maps that the BPF unwinder reads (bpf/unwind.h), in an order in which it never sees half of a table.
#pragma once

#include <cstdint>
#include <vector>

#include "../../bpf/unwind.h"
#include "../core/unique_fd.h"

namespace lowflame {

class UnwindMaps {
 public:
  struct Fds {
    int processes, files, tables, rules;
  };
  struct Table {
    uint32_t id;
    lf_uw_file file;
    const std::vector<uint32_t>* words;  // whole chunks
  };

  // Keeps descriptors of its own.
  explicit UnwindMaps(const Fds& fds);

  // Rules `first` .. of the machine, to be there before the tables that name them.
  bool PutRules(uint32_t first, const lf_uw_rule* rules, size_t count);
  // All tables at once: the kernel waits for the programs under way, about 10 ms, a call and not a table. Says for each
  // whether it is there now.
  std::vector<bool> PutTables(const std::vector<Table>& tables);
  // Reads a table back. False: it is not there, or the kernel does not let us (CAP_SYS_ADMIN).
  bool GetTable(uint32_t id, lf_uw_file* file, std::vector<uint32_t>* words) const;
  void RemoveTables(const std::vector<uint32_t>& ids);
  bool PutProcess(const lf_uw_key& key, const lf_uw_process& process);
  void RemoveProcess(const lf_uw_key& key);
  // Parts of processes that the map holds at most.
  uint32_t max_parts() const { return max_parts_; }
  uint32_t max_tables() const { return max_tables_; }

 private:
  UniqueFd processes_, files_, tables_, rules_;
  uint32_t max_parts_, max_tables_;
};

}  // namespace lowflame
