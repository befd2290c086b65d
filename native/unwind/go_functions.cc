// Reads .gopclntab: see go_functions.h.
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

template <class F>
void SortWithoutOverlaps(std::vector<F>* functions) {
  std::sort(functions->begin(), functions->end(), [](const F& a, const F& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const F& f : *functions)
    if (!kept || f.begin >= (*functions)[kept - 1].end) (*functions)[kept++] = f;
  functions->resize(kept);
}

bool Inside(const std::vector<TextRange>& text, uint64_t begin, uint64_t end) {
  return std::any_of(text.begin(), text.end(),
                     [&](const TextRange& range) { return range.begin <= begin && end <= range.end; });
}

}  // namespace

GoFunctions FindGoFunctions(const ElfBytes& elf, const std::vector<TextRange>& text, bool with_frames) {
  GoFunctions found;
  for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab"})
    if (ReadNamed(elf, name, &found.section)) break;
  const uint8_t *begin = found.section.bytes.data(), *end = begin + found.section.bytes.size();
  const size_t size = found.section.bytes.size();
  Bytes in(begin, end);
  const uint32_t magic = in.Read<uint32_t>();
  in.Skip(2);
  const uint8_t quantum = in.Read<uint8_t>();
  if ((magic != kGo118 && magic != kGo120) || in.Read<uint8_t>() != sizeof(uint64_t)) return found;
  const uint64_t functions = in.Read<uint64_t>();
  in.Skip(sizeof(uint64_t));  // number of files
  uint64_t text_begin = in.Read<uint64_t>();
  const uint64_t names_at = in.Read<uint64_t>();
  in.Skip(2 * sizeof(uint64_t));
  const uint64_t sizes_at = in.Read<uint64_t>(), table_at = in.Read<uint64_t>();
  if (!in.ok() || names_at > size || table_at > size || text.empty()) return found;
  // where it is filled in when the program is loaded
  if (!text_begin && !(text_begin = AddressOfNamed(elf, ".text"))) return found;
  // addresses in it are counted in instructions' sizes, of one byte on x86
  if (sizes_at > size || quantum != 1) with_frames = false;

  const Bytes names(begin + names_at, end), table(begin + table_at, end);
  Bytes rows = table;
  for (uint64_t i = 0; i < functions && rows.ok() && found.known.size() < kMostFunctions; i++) {
    const uint32_t from = rows.Read<uint32_t>(), entry = rows.Read<uint32_t>();
    Bytes next = rows, function = table;
    const uint32_t to = next.Read<uint32_t>();
    function.Skip(uint64_t{entry} + sizeof(uint32_t));
    const uint32_t name = function.Read<uint32_t>();
    if (!next.ok() || !function.ok() || name >= names.left() || to <= from) continue;
    const uint64_t first = text_begin + from, last = text_begin + to;
    if (first >= last || !Inside(text, first, last)) continue;
    if (const Known* known = Find(names.at() + name, names.left() - name)) {
      GoFunction f{first, last, {}};
      f.rule.cfa = known->cfa;
      found.known.push_back(f);
    } else if (with_frames) {
      function.Skip(2 * sizeof(uint32_t));  // arguments, where deferred calls return to
      const uint32_t at = function.Read<uint32_t>();
      // 0: no sizes are known of it
      if (function.ok() && at && at < size - sizes_at) found.framed.push_back({first, last, sizes_at + at});
    }
  }
  SortWithoutOverlaps(&found.known);
  SortWithoutOverlaps(&found.framed);
  return found;
}

std::vector<GoFrameSize> FrameSizesOf(const GoFunctions& go, const GoFrames& function) {
  std::vector<GoFrameSize> sizes;
  const uint8_t* begin = go.section.bytes.data();
  Bytes in(begin + function.sizes_at, begin + go.section.bytes.size());
  // pairs: how much more (zigzag), and for how many bytes of code; a first value of -1 is what is added to
  int64_t bytes = -1;
  uint64_t address = function.begin;
  while (address < function.end) {
    const uint64_t change = in.Uleb();
    if (!in.ok() || (!change && !sizes.empty())) break;
    bytes = static_cast<int64_t>(static_cast<uint64_t>(bytes) + ((change >> 1) ^ (0 - (change & 1))));
    const uint64_t length = in.Uleb();
    if (!in.ok() || !length || length > function.end - address || bytes < 0 || bytes > INT32_MAX / 2) break;
    sizes.push_back({address, address + length, static_cast<uint32_t>(bytes)});
    address += length;
  }
  return sizes;
}

}  // namespace lowflame
