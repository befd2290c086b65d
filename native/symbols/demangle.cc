// C++ and Rust names by LLVM's demangler.
#include <llvm/Demangle/Demangle.h>

#include "symbols.h"

namespace lowflame {
namespace {

// The demangler recurses: a hostile name must not be able to exhaust the stack of its thread.
constexpr size_t kMaxInput = 8192;
constexpr size_t kMaxOutput = 65536;

// Legacy Rust names are C++ names that end in a hash: "core::fmt::write::h0123456789abcdef".
void StripRustHash(std::string* name) {
  constexpr size_t kHash = 19;  // "::h" and 16 digits
  if (name->size() <= kHash) return;
  size_t at = name->size() - kHash;
  if (name->compare(at, 3, "::h") != 0) return;
  for (size_t i = at + 3; i < name->size(); i++) {
    char c = (*name)[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return;
  }
  name->resize(at);
}

}  // namespace

std::string Demangle(const std::string& name) {
  if (name.size() < 3 || name.size() > kMaxInput) return name;
  bool cpp = name.compare(0, 2, "_Z") == 0, rust = name.compare(0, 2, "_R") == 0;
  if (!cpp && !rust) return name;
  std::string out = llvm::demangle(name);
  if (cpp) StripRustHash(&out);
  if (out.size() > kMaxOutput) return name;
  return out;
}

}  // namespace lowflame
