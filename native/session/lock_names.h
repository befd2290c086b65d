// What an address says of a kernel lock: a static lock's symbol, the run queue of a CPU, the slab cache of an object.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../kernel/objects.h"

namespace lowflame {

class LockNames {
 public:
  // Reads the kernel's data symbols and asks an iterator of `proc` (lf_run_queues) for the run queues.
  // `slab` may be nullptr: then no slab caches are told.
  void Read(Object* proc, Object* slab);
  // By address, in the order given; "" where nothing is known.
  std::vector<std::string> NamesOf(const std::vector<uint64_t>& addresses) const;

 private:
  std::string StaticName(uint64_t address) const;

  std::vector<std::pair<uint64_t, std::string>> data_;  // sorted by address
  bool all_data_ = false;                               // the kernel keeps the names of all its data (KALLSYMS_ALL)
  std::map<uint64_t, uint64_t> run_queues_;             // address -> CPU
  Object* slab_ = nullptr;
  std::map<std::string, std::string> merged_;  // see slab_caches.h
};

}  // namespace lowflame
