// Finds functions of Go's runtime by name: see go_functions.h.
#include "go_functions.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "bytes.h"

namespace lowflame {
namespace {

constexpr uint32_t kGo118 = 0xfffffff0, kGo120 = 0xfffffff1;
constexpr size_t kMostFunctions = 64;  // of all the names below, in whatever file

struct Known {
  const char* name;
  uint8_t cfa;
};
constexpr Known kKnown[] = {
    // they call on another stack, with the caller's or their own frame pointer in rbp
    {"runtime.systemstack", LF_UW_OTHER_STACK},
    {"runtime.morestack", LF_UW_OTHER_STACK},
    {"runtime.asmcgocall", LF_UW_OTHER_STACK},
    {"runtime.asmcgocall_no_g", LF_UW_OTHER_STACK},
    {"runtime.cgocallback", LF_UW_OTHER_STACK},
    {"runtime.nanotime1", LF_UW_OTHER_STACK},
    {"runtime.walltime", LF_UW_OTHER_STACK},
    {"time.now", LF_UW_OTHER_STACK},
    // first frames: of a goroutine, of a thread, of the scheduler, which has left its goroutine for good, of a signal
    {"runtime.goexit", LF_UW_END},
    {"runtime.mstart", LF_UW_END},
    {"runtime.rt0_go", LF_UW_END},
    {"runtime.mcall", LF_UW_END},
    {"runtime.sigtramp", LF_UW_END},
};

const Known* Find(const uint8_t* name, size_t most) {
  std::string_view text(reinterpret_cast<const char*>(name), strnlen(reinterpret_cast<const char*>(name), most));
  if (text.empty() || (text[0] != 'r' && text[0] != 't')) return nullptr;
  constexpr std::string_view kAbi = ".abi0";
  if (text.size() > kAbi.size() && text.substr(text.size() - kAbi.size()) == kAbi) text.remove_suffix(kAbi.size());
  for (const Known& known : kKnown)
    if (text == known.name) return &known;
  return nullptr;
}

}  // namespace

std::vector<GoFunction> FindGoFunctions(const ElfBytes& elf, const std::vector<TextRange>& text) {
  std::vector<GoFunction> found;
  FrameSection section;
  for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab"})
    if (ReadNamed(elf, name, &section)) break;
  const uint8_t *begin = section.bytes.data(), *end = begin + section.bytes.size();
  Bytes in(begin, end);
  const uint32_t magic = in.Read<uint32_t>();
  in.Skip(3);
  if ((magic != kGo118 && magic != kGo120) || in.Read<uint8_t>() != sizeof(uint64_t)) return found;
  const uint64_t functions = in.Read<uint64_t>();
  in.Skip(sizeof(uint64_t));  // number of files
  uint64_t text_begin = in.Read<uint64_t>();
  const uint64_t names_at = in.Read<uint64_t>();
  in.Skip(3 * sizeof(uint64_t));
  const uint64_t table_at = in.Read<uint64_t>();
  if (!in.ok() || names_at > section.bytes.size() || table_at > section.bytes.size() || text.empty()) return found;
  // where it is filled in when the program is loaded
  if (!text_begin && !(text_begin = AddressOfNamed(elf, ".text"))) return found;

  const Bytes names(begin + names_at, end), table(begin + table_at, end);
  Bytes rows = table;
  for (uint64_t i = 0; i < functions && rows.ok() && found.size() < kMostFunctions; i++) {
    const uint32_t from = rows.Read<uint32_t>(), entry = rows.Read<uint32_t>();
    Bytes next = rows, function = table;
    const uint32_t to = next.Read<uint32_t>();
    function.Skip(uint64_t{entry} + sizeof(uint32_t));
    const uint32_t name = function.Read<uint32_t>();
    if (!next.ok() || !function.ok() || name >= names.left() || to <= from) continue;
    const Known* known = Find(names.at() + name, names.left() - name);
    if (!known) continue;
    GoFunction f{text_begin + from, text_begin + to, {}};
    f.rule.cfa = known->cfa;
    bool inside = std::any_of(text.begin(), text.end(),
                              [&](const TextRange& range) { return range.begin <= f.begin && f.end <= range.end; });
    if (inside && f.begin < f.end) found.push_back(f);
  }
  std::sort(found.begin(), found.end(), [](const GoFunction& a, const GoFunction& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const GoFunction& f : found)
    if (!kept || f.begin >= found[kept - 1].end) found[kept++] = f;
  found.resize(kept);
  return found;
}

}  // namespace lowflame
