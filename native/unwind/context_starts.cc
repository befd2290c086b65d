// By the file's names first, since most files make no contexts, then by the code: see context_starts.h.
#include "context_starts.h"

#include <cstring>

namespace lowflame {
namespace {

constexpr char kName[] = "makecontext";  // and its 0; linkers keep it as the end of "__makecontext"
constexpr uint8_t kBranchTarget[] = {0xf3, 0x0f, 0x1e, 0xfa};  // endbr64
constexpr uint8_t kTakesStack[] = {0x48, 0x89, 0xdc};          // mov %rbx,%rsp

bool Names(const ElfBytes& elf) {
  FrameSection names;
  // a program that is linked statically has the other one
  if (!ReadNamed(elf, ".dynstr", &names) && !ReadNamed(elf, ".strtab", &names)) return false;
  return memmem(names.bytes.data(), names.bytes.size(), kName, sizeof(kName));
}

}  // namespace

ContextStarts::ContextStarts(const ElfBytes& elf) {
  if (Names(elf) && !ReadNamed(elf, ".text", &text_)) text_.bytes.clear();
}

bool ContextStarts::IsOne(uint64_t begin) const {
  if (begin < text_.address || begin - text_.address >= text_.bytes.size()) return false;
  const uint8_t* at = text_.bytes.data() + (begin - text_.address);
  size_t left = text_.bytes.data() + text_.bytes.size() - at;
  auto skip = [&](const uint8_t* code, size_t size) {
    if (left < size || memcmp(at, code, size)) return false;
    at += size;
    left -= size;
    return true;
  };
  skip(kBranchTarget, sizeof(kBranchTarget));
  return skip(kTakesStack, sizeof(kTakesStack));
}

}  // namespace lowflame
