// The executable mappings of one process over time: whose code was at an address when a sample was taken. A library
// that is closed leaves its addresses to the next one, and samples of both wait for their names together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "process_maps.h"

namespace lowflame {

// Times are CLOCK_MONOTONIC, ns.
class AddressSpace {
 public:
  // The mapping that held the address then, nullptr if none is known. Valid until the next change.
  Mapping* At(uint64_t address, uint64_t time_ns);
  // A record: from then on it takes the place of what it covers, also of the same file, which may have been written
  // over before it was mapped again.
  void Map(const Mapping& mapping, uint64_t time_ns);
  // An exec: from then on there is nothing.
  void Clear(uint64_t time_ns);
  // What /proc tells now, sorted. Returns whether anything of it is new.
  bool Replace(std::vector<Mapping> fresh, uint64_t now_ns);

  // What lies around a mapping of now() in which `address` is; nullptr if nothing does, or there is none.
  struct Around {
    const Mapping *before = nullptr, *mapping = nullptr, *after = nullptr;
  };
  Around AroundOf(uint64_t address) const;
  // When code was last replaced by other code, up to then; 0 = never. Between two of these times an address means the
  // same.
  uint64_t ChangedAt(uint64_t time_ns) const;
  std::vector<Mapping>& now() { return now_; }
  bool empty() const { return now_.empty() && former_.empty(); }
  size_t size() const { return now_.size() + former_.size(); }

 private:
  struct Former {
    Mapping mapping;
    uint64_t until_ns;
  };
  void Bury(const Mapping& mapping, uint64_t until_ns);
  void Change(uint64_t time_ns);
  void Antedate(const Mapping* mapping, uint64_t time_ns);

  std::vector<Mapping> now_;    // by address
  std::vector<Former> former_;  // oldest first
  std::vector<uint64_t> changes_;
  uint64_t last_end_ns_ = 0;  // of a former one
  uint64_t read_ns_ = 0;      // when /proc was last read
  uint64_t cleared_ns_ = 0;
};

}  // namespace lowflame
