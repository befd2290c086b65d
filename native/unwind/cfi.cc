// The machine of DWARF 5, section 6.4.2 (figures: 7.24), for the three things that a walk wants: CFA, rbp, and return
// address.
#include "cfi.h"

#include "pages.h"

namespace lowflame {
namespace {

enum : uint8_t {
  kAdvanceLoc = 0x40,  // upper two bits; the lower six are an operand
  kOffset = 0x80,
  kRestore = 0xc0,
  kNop = 0x00,
  kSetLoc = 0x01,
  kAdvanceLoc1 = 0x02,
  kAdvanceLoc2 = 0x03,
  kAdvanceLoc4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kGnuArgsSize = 0x2e,
  kGnuNegativeOffsetExtended = 0x2f,
};
constexpr size_t kMaxRemembered = 32;  // compilers nest them once

// Offsets of rsp, rbp and rip from the stack pointer where the kernel has put a signal frame (struct rt_sigframe
// without its return address): glibc's __restore_rt tells them as expressions
// (sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c).
constexpr int64_t kSignalRsp = 160, kSignalRbp = 120, kSignalRip = 168;

int64_t Times(uint64_t factor, int64_t align) {
  return static_cast<int64_t>(factor * static_cast<uint64_t>(align));
}

class Machine {
 public:
  Machine(const Cie& cie, const CfiState& state) : cie_(cie), state_(state) {}

  const CfiState& state() const { return state_; }

  // One instruction that leaves the address as it is. False: it cannot be understood.
  bool Step(uint8_t op, Bytes* in) {
    uint8_t low = op & 0x3f;
    switch (op & 0xc0) {
      case kOffset:
        return At(low, Times(in->Uleb(), cie_.data_align)), in->ok();
      case kRestore:
        return Restore(low);
      default:
        return StepExtended(op, in) && in->ok();
    }
  }

 private:
  bool StepExtended(uint8_t op, Bytes* in) {
    uint64_t reg;
    switch (op) {
      case kNop:
        return true;
      case kOffsetExtended:
        return reg = in->Uleb(), At(reg, Times(in->Uleb(), cie_.data_align));
      case kOffsetExtendedSf:
        return reg = in->Uleb(), At(reg, Times(static_cast<uint64_t>(in->Sleb()), cie_.data_align));
      case kGnuNegativeOffsetExtended:
        return reg = in->Uleb(), At(reg, -Times(in->Uleb(), cie_.data_align));
      case kRestoreExtended:
        return Restore(in->Uleb());
      case kUndefined:
        return Set(in->Uleb(), {Saved::kUndefined, 0, 0});
      case kSameValue:
        return Set(in->Uleb(), {Saved::kSame, 0, 0});
      case kRegister:
        return reg = in->Uleb(), in->Uleb(), Set(reg, {Saved::kOther, 0, 0});
      case kValOffset:
        return reg = in->Uleb(), in->Uleb(), Set(reg, {Saved::kOther, 0, 0});
      case kValOffsetSf:
        return reg = in->Uleb(), in->Sleb(), Set(reg, {Saved::kOther, 0, 0});
      case kRememberState:
        if (remembered_.size() == kMaxRemembered) return false;
        remembered_.push_back(state_);
        return true;
      case kRestoreState:
        if (remembered_.empty()) return false;
        state_ = remembered_.back();
        remembered_.pop_back();
        return true;
      case kDefCfa:
        return reg = in->Uleb(), Cfa(reg, static_cast<int64_t>(in->Uleb()));
      case kDefCfaSf:
        return reg = in->Uleb(), Cfa(reg, Times(static_cast<uint64_t>(in->Sleb()), cie_.data_align));
      case kDefCfaRegister:
        return reg = in->Uleb(), CfaInPart(reg, state_.cfa.offset);
      case kDefCfaOffset:
        return CfaInPart(state_.cfa.reg, static_cast<int64_t>(in->Uleb()));
      case kDefCfaOffsetSf:
        return CfaInPart(state_.cfa.reg, Times(static_cast<uint64_t>(in->Sleb()), cie_.data_align));
      case kDefCfaExpression:
        state_.cfa = Evaluate(in->Take(in->Uleb()), false);
        return true;
      case kExpression:
        return reg = in->Uleb(), AtExpression(reg, in->Take(in->Uleb()));
      case kValExpression:
        return reg = in->Uleb(), in->Take(in->Uleb()), Set(reg, {Saved::kOther, 0, 0});
      case kGnuArgsSize:
        return in->Uleb(), true;
      default:
        return false;
    }
  }

  Saved* Of(CfiState* state, uint64_t reg) const {
    if (reg == kRbp) return &state->rbp;
    return reg == cie_.return_column ? &state->return_address : nullptr;
  }
  bool Set(uint64_t reg, Saved saved) {
    if (Saved* of = Of(&state_, reg)) *of = saved;
    return true;
  }
  bool At(uint64_t reg, int64_t offset) { return Set(reg, {Saved::kAt, kCfa, offset}); }
  bool AtExpression(uint64_t reg, Bytes expression) {
    if (!Of(&state_, reg)) return true;
    Place place = Evaluate(expression, true);
    if (place.kind != Place::kSum) return Set(reg, {Saved::kOther, 0, 0});
    return Set(reg, {Saved::kAt, place.reg, place.offset});
  }
  bool Restore(uint64_t reg) {
    CfiState initial = cie_.initial;
    if (Saved* of = Of(&initial, reg)) Set(reg, *of);
    return true;
  }
  bool Cfa(uint64_t reg, int64_t offset) {
    state_.cfa = {reg == kCfa ? Place::kOther : Place::kSum, reg, offset, 0};
    return true;
  }
  // Register or offset alone: of a CFA that is an expression that says nothing.
  bool CfaInPart(uint64_t reg, int64_t offset) {
    if (state_.cfa.kind == Place::kSum) return Cfa(reg, offset);
    state_.cfa = {};
    return true;
  }

  const Cie& cie_;
  CfiState state_;
  std::vector<CfiState> remembered_;
};

bool IsAt(const Saved& saved, uint64_t reg, int64_t offset) {
  return saved.how == Saved::kAt && saved.reg == reg && saved.offset == offset;
}

bool Fits(int64_t value) {
  return value == static_cast<int32_t>(value);
}

// False: a CFA that the walker cannot find.
bool CfaOf(const Place& cfa, lf_uw_rule* rule) {
  if ((cfa.reg != kRsp && cfa.reg != kRbp) || !Fits(cfa.offset) || !Fits(cfa.add)) return false;
  bool sp = cfa.reg == kRsp;
  switch (cfa.kind) {
    case Place::kSum:
      rule->cfa = sp ? LF_UW_SP : LF_UW_FP;
      break;
    case Place::kDeref:
      rule->cfa = sp ? LF_UW_DEREF_SP : LF_UW_DEREF_FP;
      break;
    case Place::kPlt:
      rule->cfa = LF_UW_PLT;
      break;
    default:
      return false;
  }
  rule->cfa_offset = static_cast<int32_t>(cfa.offset);
  rule->cfa_add = static_cast<int32_t>(cfa.add);
  return true;
}

void FpOf(const Saved& rbp, lf_uw_rule* rule) {
  rule->fp = LF_UW_FP_LOST;
  if (rbp.how == Saved::kUnset || rbp.how == Saved::kSame) rule->fp = LF_UW_FP_SAME;
  if (rbp.how != Saved::kAt || !Fits(rbp.offset) || (rbp.reg != kCfa && rbp.reg != kRbp)) return;
  rule->fp = rbp.reg == kCfa ? LF_UW_FP_CFA : LF_UW_FP_DEREF_FP;
  rule->fp_offset = static_cast<int32_t>(rbp.offset);
}

lf_uw_rule Only(lf_uw_cfa cfa) {
  lf_uw_rule rule{};
  rule.cfa = cfa;
  return rule;
}

}  // namespace

lf_uw_rule RuleOf(const CfiState& state) {
  const Place& cfa = state.cfa;
  if (state.return_address.how == Saved::kUndefined) return Only(LF_UW_END);
  if (cfa.kind == Place::kDeref && cfa.reg == kRsp && cfa.offset == kSignalRsp && !cfa.add &&
      IsAt(state.return_address, kRsp, kSignalRip) && IsAt(state.rbp, kRsp, kSignalRbp))
    return Only(LF_UW_SIGNAL);
  if (!IsAt(state.return_address, kCfa, -8)) return Only(LF_UW_UNSUPPORTED);
  // popped already: musl's __clone begins a thread so
  if (cfa.kind == Place::kSum && cfa.reg == kRsp && cfa.offset < 8) return Only(LF_UW_END);
  lf_uw_rule rule{};
  if (!CfaOf(cfa, &rule)) return Only(LF_UW_UNSUPPORTED);
  FpOf(state.rbp, &rule);
  return rule;
}

bool RunCie(Bytes in, Cie* cie) {
  CfiState empty;
  Machine machine(*cie, empty);
  while (in.left()) {
    uint8_t op = in.Read<uint8_t>();
    // addresses mean nothing here
    if ((op & 0xc0) == kAdvanceLoc || (op >= kSetLoc && op <= kAdvanceLoc4) || !machine.Step(op, &in)) return false;
  }
  cie->initial = machine.state();
  return true;
}

void RunFde(const Cie& cie, const FdeCode& code, TableWriter* out) {
  Bytes in = code.instructions;
  const uint8_t* first = in.at();
  Machine machine(cie, cie.initial);
  uint64_t at = code.begin;
  while (in.left()) {
    uint8_t op = in.Read<uint8_t>();
    uint64_t to = at, delta = 0;
    bool understood = true;
    if ((op & 0xc0) == kAdvanceLoc) {
      delta = op & 0x3f;
    } else if (op == kAdvanceLoc1) {
      delta = in.Read<uint8_t>();
    } else if (op == kAdvanceLoc2) {
      delta = in.Read<uint16_t>();
    } else if (op == kAdvanceLoc4) {
      delta = in.Read<uint32_t>();
    } else if (op == kSetLoc) {
      uint64_t address = code.instructions_address + static_cast<uint64_t>(in.at() - first);
      understood = ReadEncoded(&in, cie.encoding, address, &to) && to >= at;
    } else {
      understood = machine.Step(op, &in);
    }
    if (!understood || !in.ok()) {
      out->Add(at - code.base, Only(LF_UW_UNSUPPORTED));
      return;
    }
    if (delta) to = cie.code_align > UINT32_MAX ? code.end : at + delta * cie.code_align;
    if (to == at) continue;
    out->Add(at - code.base, RuleOf(machine.state()));
    if (to >= code.end) return;
    at = to;
  }
  out->Add(at - code.base, RuleOf(machine.state()));
}

bool ReadEncoded(Bytes* in, uint8_t encoding, uint64_t address, uint64_t* out) {
  switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c:
      *out = in->Read<uint64_t>();
      break;
    case 0x01:
      *out = in->Uleb();
      break;
    case 0x02:
      *out = in->Read<uint16_t>();
      break;
    case 0x03:
      *out = in->Read<uint32_t>();
      break;
    case 0x09:
      *out = static_cast<uint64_t>(in->Sleb());
      break;
    case 0x0a:
      *out = static_cast<uint64_t>(int64_t{in->Read<int16_t>()});
      break;
    case 0x0b:
      *out = static_cast<uint64_t>(int64_t{in->Read<int32_t>()});
      break;
    default:
      return false;
  }
  // relative to nothing, or to its own place; the others need a base that ELF files for x86-64 do not have
  if ((encoding & 0xf0) == 0x10)
    *out += address;
  else if (encoding & 0xf0)
    return false;
  return in->ok();
}

}  // namespace lowflame
