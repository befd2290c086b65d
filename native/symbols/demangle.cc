// C++ and Rust names by LLVM's demangler, kept within bounds: see symbols.h.
//
// A mangled name may refer back to its own parts, so that a hundred bytes of it can stand for gigabytes of text, and
// the demangler ends the process when memory runs out. Anybody who may run a program may name its functions. The
// library is therefore linked with its calls of realloc, by which its output grows, led to lowflame_demangle_realloc
// (CMakeLists.txt), which throws when the text gets too long.
#include <llvm/Demangle/Demangle.h>
#include <pthread.h>

#include <cstdlib>
#include <stdexcept>

#include "symbols.h"

namespace {

constexpr size_t kMaxOutput = 65536;

struct TooLong : std::exception {};

// Only while text is written: the parser's own lists, which it frees itself, grow by realloc too, but never by more
// than the length of the input.
thread_local bool writing = false;
struct Writing {
  Writing() { writing = true; }
  ~Writing() { writing = false; }
};

}  // namespace

extern "C" void* lowflame_demangle_realloc(void* block, size_t size) {
  void* grown = writing && size > 2 * kMaxOutput ? nullptr : realloc(block, size);
  if (!grown && writing) {
    free(block);  // the caller, who would have freed it, is never returned to
    throw TooLong();
  }
  return grown;
}

namespace lowflame {
namespace {

// The demangler recurses, at worst 400 bytes of stack for each letter. Longer names than this get a thread whose stack
// is large enough for the longest; they are rare.
constexpr size_t kMaxInput = 16384, kMaxHere = 1024;
constexpr size_t kStackForMaxInput = 16u << 20;

// "name (.llvm.1234)": a number that a compiler gave to a function that it moved between files.
void StripMovedNumber(std::string* name) {
  size_t at = name->rfind(" (.llvm.");
  if (at == std::string::npos || name->back() != ')') return;
  if (name->find_first_not_of("0123456789", at + 8) == name->size() - 1) name->resize(at);
}

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

// "$LT$" and the like in legacy Rust names stand for what the C++ mangling has no letters for.
void ReplaceRustEscapes(std::string* name) {
  static constexpr struct {
    const char *escape, *text;
  } kEscapes[] = {{"$LT$", "<"},  {"$GT$", ">"},  {"$LP$", "("},  {"$RP$", ")"},  {"$C$", ","},    {"$BP$", "*"},
                  {"$RF$", "&"},  {"$SP$", "@"},  {"$u20$", " "}, {"$u27$", "'"}, {"$u5b$", "["},  {"$u5d$", "]"},
                  {"$u7b$", "{"}, {"$u7d$", "}"}, {"$u3b$", ";"}, {"$u2b$", "+"}, {"$u22$", "\""}, {"$u7e$", "~"}};
  std::string out;
  for (size_t i = 0; i < name->size();) {
    bool replaced = false;
    for (const auto& e : kEscapes) {
      size_t length = std::char_traits<char>::length(e.escape);
      if (name->compare(i, length, e.escape)) continue;
      // an underscore stands before an escape at the start of a part
      if (!out.empty() && out.back() == '_' && (out.size() == 1 || out[out.size() - 2] == ':')) out.pop_back();
      out += e.text;
      i += length;
      replaced = true;
      break;
    }
    if (replaced) continue;
    if (!name->compare(i, 2, "..")) {
      out += "::";
      i += 2;
    } else {
      out += (*name)[i++];
    }
  }
  *name = std::move(out);
}

std::string TakeText(char* text, const std::string& otherwise) {
  std::string out = text ? text : otherwise;
  free(text);
  return out;
}

// As it is if it is no mangled name or stands for too long a text.
std::string Bounded(const std::string& name) {
  // outlives the exception, so that what was parsed is freed
  llvm::ItaniumPartialDemangler parsed;
  try {
    if (name[1] == 'Z') {
      if (parsed.partialDemangle(name.c_str())) return name;
      Writing while_here;
      return TakeText(parsed.finishDemangle(nullptr, nullptr), name);
    }
    Writing while_here;
    return llvm::demangle(name);
  } catch (const TooLong&) {
    return name;
  }
}

struct Job {
  const std::string* name;
  std::string out;
};
void* RunJob(void* argument) {
  auto* job = static_cast<Job*>(argument);
  job->out = Bounded(*job->name);
  return nullptr;
}

std::string BoundedOnLargeStack(const std::string& name) {
  Job job{&name, name};
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  bool started =
      !pthread_attr_setstacksize(&attributes, kStackForMaxInput) && !pthread_create(&thread, &attributes, RunJob, &job);
  pthread_attr_destroy(&attributes);
  if (started) pthread_join(thread, nullptr);
  return job.out;
}

std::string DemangleSymbol(const std::string& name) {
  if (name.size() < 3 || name.size() > kMaxInput) return name;
  bool cpp = name.compare(0, 2, "_Z") == 0, rust = name.compare(0, 2, "_R") == 0;
  if (!cpp && !rust) return name;
  std::string out = name.size() <= kMaxHere ? Bounded(name) : BoundedOnLargeStack(name);
  if (out.size() > kMaxOutput) return name;
  StripMovedNumber(&out);
  size_t before = out.size();
  if (cpp) StripRustHash(&out);
  if (out.size() != before) ReplaceRustEscapes(&out);
  return out;
}

}  // namespace

std::string Demangle(const std::string& name) {
  static const std::string kStub = "@plt";
  if (name.size() <= kStub.size() || name.compare(name.size() - kStub.size(), kStub.size(), kStub))
    return DemangleSymbol(name);
  return DemangleSymbol(name.substr(0, name.size() - kStub.size())) + kStub;
}

}  // namespace lowflame
