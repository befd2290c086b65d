// BPF programs of others: what they cost during the recording and which processes hold them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowflame {

// A reading of the kernel's statistics of one program.
struct OtherProgramRaw {
  uint32_t id = 0;
  std::string name, tag, type;
  uint64_t runs = 0, ns = 0, recursion_misses = 0;
};

struct ProgramOwner {
  int pid;
  std::string comm;
};

struct OtherProgram {
  OtherProgramRaw program;  // what it did during the recording
  std::vector<ProgramOwner> owners;
};

// All programs loaded now but those in `own_ids`. Needs CAP_SYS_ADMIN or CAP_BPF; empty without.
std::vector<OtherProgramRaw> ReadOtherPrograms(const std::vector<uint32_t>& own_ids);

// Looks up in /proc/*/fdinfo which processes hold each.
std::vector<OtherProgram> WithOwners(const std::vector<OtherProgramRaw>& programs);

}  // namespace lowflame
