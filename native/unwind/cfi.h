// Call frame instructions: from the bytes of a CIE and an FDE to the rule of each address.
#pragma once

#include <cstdint>

#include "../../bpf/unwind.h"
#include "bytes.h"
#include "expression.h"

namespace lowflame {

class TableWriter;

// Where a register of the caller is.
struct Saved {
  enum How : uint8_t { kUnset, kSame, kUndefined, kAt, kOther };
  How how = kUnset;
  uint64_t reg = 0;  // kAt: in memory at this register (or kCfa) + offset
  int64_t offset = 0;
};

// What the instructions so far have said of one address.
struct CfiState {
  Place cfa;
  Saved rbp, return_address;
};

// A common information entry: what several functions share.
struct Cie {
  uint64_t code_align = 1;
  int64_t data_align = 1;
  uint8_t encoding = 0;  // of addresses in its FDEs: DW_EH_PE_*
  uint8_t return_column = kReturnAddress;
  bool augmented = false;  // FDEs hold augmentation data
  CfiState initial;
};

// The rule of the walker that says the same, or LF_UW_UNSUPPORTED.
lf_uw_rule RuleOf(const CfiState& state);

// Runs the initial instructions of a CIE into its `initial`. False: they cannot be understood.
bool RunCie(Bytes instructions, Cie* cie);

// Runs the instructions of a function at [begin, end) and gives the rule of each address from which on it changes, as
// offset from `base`. Never more rows than bytes. From an instruction on that cannot be understood the rule is
// LF_UW_UNSUPPORTED.
struct FdeCode {
  uint64_t begin, end;  // file addresses
  uint64_t base;        // file address that offsets of rows begin at
  Bytes instructions;
  uint64_t instructions_address;  // address of the first of them
};
void RunFde(const Cie& cie, const FdeCode& code, TableWriter* out);

// A pointer as DW_EH_PE_* encodes it (LSB Core, "DWARF Exception Header Encoding"); `address` is that of the pointer.
// False: an encoding without meaning here, or no bytes left.
bool ReadEncoded(Bytes* in, uint8_t encoding, uint64_t address, uint64_t* out);

}  // namespace lowflame
