// DWARF expressions as call frame information uses them, as far as a rule of ours can say the same.
#pragma once

#include <cstdint>

#include "bytes.h"

namespace lowflame {

constexpr uint64_t kRbp = 6, kRsp = 7, kReturnAddress = 16;  // x86-64 psABI, table 3.36
constexpr uint64_t kCfa = 1000;                              // stands for the CFA among the registers

// What an expression comes to.
struct Place {
  enum Kind : uint8_t {
    kOther,     // something else, or none
    kConstant,  // offset
    kSum,       // reg + offset
    kDeref,     // *(reg + offset) + add
    kPlt,       // rsp + offset, 8 more from byte `add` of an entry of 16 on
  };
  Kind kind = kOther;
  uint64_t reg = 0;
  int64_t offset = 0, add = 0;
};

// `with_cfa`: the stack begins with the CFA (rules of registers), not empty (DW_CFA_def_cfa_expression).
Place Evaluate(Bytes expression, bool with_cfa);

}  // namespace lowflame
