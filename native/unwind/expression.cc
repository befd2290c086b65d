// A symbolic evaluation: sums of one register and constants, read through at most once. DWARF 5, section 2.5; figures
// of operations: section 7.7.1.
#include "expression.h"

namespace lowflame {
namespace {

enum : uint8_t {
  kOpDeref = 0x06,
  kOpConst1u = 0x08,
  kOpConst1s = 0x09,
  kOpConst2u = 0x0a,
  kOpConst2s = 0x0b,
  kOpConst4u = 0x0c,
  kOpConst4s = 0x0d,
  kOpConst8u = 0x0e,
  kOpConst8s = 0x0f,
  kOpConstu = 0x10,
  kOpConsts = 0x11,
  kOpAnd = 0x1a,
  kOpMinus = 0x1c,
  kOpPlus = 0x22,
  kOpPlusUconst = 0x23,
  kOpShl = 0x24,
  kOpGe = 0x2a,
  kOpLit0 = 0x30,
  kOpLit31 = 0x4f,
  kOpBreg0 = 0x70,
  kOpBreg31 = 0x8f,
  kOpBregx = 0x92,
  kOpNop = 0x96,
};
constexpr size_t kMaxStack = 4;

// rsp + 8 + (((rip & 15) >= N) << 3): before or after an entry of the PLT has pushed its index. GNU ld has 11 for N, 9
// where entries begin with endbr64, 5 where they have a bnd prefix (elf_x86_64_eh_frame_*plt in elf64-x86-64.c); lld
// writes the first.
bool IsPlt(Bytes in, Place* out) {
  if (in.left() != 11 || in.Read<uint8_t>() != kOpBreg0 + kRsp) return false;
  int64_t offset = in.Sleb();
  if (in.Read<uint8_t>() != kOpBreg0 + kReturnAddress || in.Sleb() != 0) return false;
  if (in.Read<uint8_t>() != kOpLit0 + 15 || in.Read<uint8_t>() != kOpAnd) return false;
  uint8_t from = in.Read<uint8_t>();
  if (from < kOpLit0 || from > kOpLit0 + 15 || in.Read<uint8_t>() != kOpGe) return false;
  if (in.Read<uint8_t>() != kOpLit0 + 3 || in.Read<uint8_t>() != kOpShl) return false;
  if (in.Read<uint8_t>() != kOpPlus || !in.ok() || in.left()) return false;
  *out = {Place::kPlt, kRsp, offset, from - kOpLit0};
  return true;
}

int64_t Sum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

Place Plus(Place a, int64_t constant) {
  if (a.kind == Place::kDeref)
    a.add = Sum(a.add, constant);
  else
    a.offset = Sum(a.offset, constant);
  return a;
}

Place Constant(int64_t value) {
  return {Place::kConstant, 0, value, 0};
}

// An operation that pushes; false if `op` is none that is known.
bool Push(uint8_t op, Bytes* in, Place* out) {
  if (op >= kOpLit0 && op <= kOpLit31) {
    *out = Constant(op - kOpLit0);
    return true;
  }
  if (op >= kOpBreg0 && op <= kOpBreg31) {
    *out = {Place::kSum, static_cast<uint64_t>(op - kOpBreg0), in->Sleb(), 0};
    return true;
  }
  switch (op) {
    case kOpBregx: {
      uint64_t reg = in->Uleb();
      *out = {reg == kCfa ? Place::kOther : Place::kSum, reg, in->Sleb(), 0};
      return true;
    }
    case kOpConst1u:
      *out = Constant(in->Read<uint8_t>());
      return true;
    case kOpConst1s:
      *out = Constant(in->Read<int8_t>());
      return true;
    case kOpConst2u:
      *out = Constant(in->Read<uint16_t>());
      return true;
    case kOpConst2s:
      *out = Constant(in->Read<int16_t>());
      return true;
    case kOpConst4u:
      *out = Constant(in->Read<uint32_t>());
      return true;
    case kOpConst4s:
      *out = Constant(in->Read<int32_t>());
      return true;
    case kOpConst8u:
    case kOpConst8s:
      *out = Constant(in->Read<int64_t>());
      return true;
    case kOpConstu:
      *out = Constant(static_cast<int64_t>(in->Uleb()));
      return true;
    case kOpConsts:
      *out = Constant(in->Sleb());
      return true;
    default:
      return false;
  }
}

}  // namespace

Place Evaluate(Bytes in, bool with_cfa) {
  Place plt;
  if (!with_cfa && IsPlt(in, &plt)) return plt;
  Place stack[kMaxStack];
  size_t depth = 0;
  if (with_cfa) stack[depth++] = {Place::kSum, kCfa, 0, 0};
  while (in.left()) {
    uint8_t op = in.Read<uint8_t>();
    Place pushed;
    if (Push(op, &in, &pushed)) {
      if (depth == kMaxStack) return {};
      stack[depth++] = pushed;
      continue;
    }
    if (op == kOpNop) continue;
    if (!depth) return {};
    Place& top = stack[depth - 1];
    if (op == kOpPlusUconst) {
      top = Plus(top, static_cast<int64_t>(in.Uleb()));
    } else if (op == kOpDeref) {
      if (top.kind != Place::kSum) return {};
      top.kind = Place::kDeref;
    } else if ((op == kOpPlus || op == kOpMinus) && depth >= 2) {
      Place b = stack[--depth];
      Place& a = stack[depth - 1];
      if (op == kOpPlus && a.kind == Place::kConstant) {
        Place swapped = a;
        a = b;
        b = swapped;
      }
      if (b.kind != Place::kConstant) return {};
      a = Plus(a, op == kOpPlus ? b.offset : Sum(0, static_cast<int64_t>(0 - static_cast<uint64_t>(b.offset))));
    } else {
      return {};
    }
  }
  return in.ok() && depth ? stack[depth - 1] : Place{};
}

}  // namespace lowflame
