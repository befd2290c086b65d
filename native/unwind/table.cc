// From the functions of a file, by address, to its table: see table.h.
#include "table.h"

#include <algorithm>
#include <new>

#include "../symbols/debug_files.h"
#include "context_starts.h"
#include "elf_frames.h"
#include "frame_entries.h"
#include "go_functions.h"
#include "pages.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxText = 1ull << 30;  // a directory of 4 MiB; Chromium has 225 MiB
constexpr uint32_t kPadding = 16;          // between functions: nothing runs there, and nobody asks for a rule

uint64_t PageOf(uint64_t address) {
  return address & ~uint64_t{LF_UW_PAGE_BYTES - 1};
}

class Builder {
 public:
  // `fd` < 0: an image, which has no debug file.
  Builder(const ElfBytes& elf, int fd, int root) : elf_(elf), fd_(fd), root_(root) {}

  void Build(UnwindRules* rules, UnwindTable* table) {
    if (!ReadText(elf_, &text_, &table->why)) return;
    for (const TextRange& range : text_) table->text_bytes += range.end - range.begin;
    base_ = PageOf(text_.front().begin);
    if (text_.back().end - base_ > kMaxText) {
      table->why = "its code spans more than 1 GiB";
      return;
    }
    FrameEntries entries(text_, base_);
    std::string eh_why, debug_why;
    bool has_eh = ReadFrames(elf_, false, &eh_, &eh_why);
    if (has_eh) entries.Read(eh_);
    entries.Settle();
    // What has none of it, some of a file's functions or all but its start files, may be in .debug_frame. A debug file
    // has that of every function, which is worth its while only where .eh_frame has few.
    const bool few = entries.covered_bytes() * 2 < table->text_bytes;
    if (few ? ReadDebugFrame(&debug_why) : ReadFrames(elf_, true, &debug_, &debug_why)) {
      entries.Read(debug_);
      entries.Settle();
    }
    const bool bare = entries.covered_bytes() * 2 < table->text_bytes;
    const GoFunctions go = FindGoFunctions(elf_, text_, bare);
    table->functions = entries.fdes().size() + go.framed.size();
    table->functions_left_out = entries.left_out();
    if (entries.fdes().empty() && go.known.empty() && go.framed.empty()) {
      table->why = has_eh ? "its .eh_frame tells nothing about its code" : eh_why;
      if (eh_why == "it has no .eh_frame" && !debug_why.empty()) table->why = "it has no .eh_frame, and " + debug_why;
      return;
    }
    Write(entries, go, rules, table);
  }

 private:
  bool ReadDebugFrame(std::string* why) {
    if (ReadFrames(elf_, true, &debug_, why)) return true;
    if (fd_ < 0) return false;
    std::string debug_file_why;
    auto use = [&](int fd) { return ReadFrames(ElfBytes(fd), true, &debug_, &debug_file_why); };
    return static_cast<bool>(FindDebugFile(fd_, root_, "", DebugLink(), use));
  }

  // A function whose rules come from its entry, or from the sizes of its frame, or which has the one that is known of
  // it.
  struct Piece {
    uint32_t begin, end;
    const Fde* fde;
    const lf_uw_rule* rule;
    const GoFrames* frames;
  };

  // By address; entries that overlap with what is known otherwise are out.
  std::vector<Piece> PiecesOf(const FrameEntries& entries, const GoFunctions& go) const {
    std::vector<Piece> pieces;
    auto known = go.known.begin();
    auto add_known = [&](uint64_t until) {
      for (; known != go.known.end() && known->begin - base_ < until; ++known)
        pieces.push_back({static_cast<uint32_t>(known->begin - base_), static_cast<uint32_t>(known->end - base_),
                          nullptr, &known->rule, nullptr});
    };
    for (const Fde& fde : entries.fdes()) {
      add_known(fde.end);
      if (pieces.empty() || pieces.back().end <= fde.begin)
        pieces.push_back({fde.begin, fde.end, &fde, nullptr, nullptr});
    }
    add_known(~uint64_t{0});
    return go.framed.empty() ? pieces : WithFramed(pieces, go.framed);
  }

  // With those Go functions of which nothing else is known.
  std::vector<Piece> WithFramed(const std::vector<Piece>& pieces, const std::vector<GoFrames>& framed) const {
    std::vector<Piece> all;
    auto piece = pieces.begin();
    for (const GoFrames& f : framed) {
      const auto begin = static_cast<uint32_t>(f.begin - base_), end = static_cast<uint32_t>(f.end - base_);
      for (; piece != pieces.end() && piece->begin < end; ++piece) all.push_back(*piece);
      if (all.empty() || all.back().end <= begin) all.push_back({begin, end, nullptr, nullptr, &f});
    }
    all.insert(all.end(), piece, pieces.end());
    return all;
  }

  void Write(const FrameEntries& entries, const GoFunctions& go, UnwindRules* rules, UnwindTable* table) {
    const std::vector<Piece> pieces = PiecesOf(entries, go);
    uint64_t first = base_ + PageOf(pieces.front().begin), end = base_ + pieces.back().end;
    table->file.first = first;
    const ContextStarts context_starts(elf_);
    TableWriter out(static_cast<uint32_t>((end - first + LF_UW_PAGE_BYTES - 1) >> LF_UW_PAGE_SHIFT), rules, table);
    for (size_t i = 0; i < pieces.size(); i++) {
      const Piece& piece = pieces[i];
      // Go's .debug_frame does not say where a function keeps its caller's rbp, which the rules of those that change
      // stacks begin at: below the return address, as soon as it has a frame (cmd/internal/obj/x86/obj6.go)
      out.KeepsFramePointers(piece.frames || (!go.known.empty() && piece.fde && piece.fde->debug));
      if (piece.rule)
        out.Add(base_ + piece.begin - first, *piece.rule);
      else if (piece.frames)
        AddFrames(go, *piece.frames, first, &out);
      else
        Run(entries, *piece.fde, first, &out);
      // Padding has the rule before it, which saves rows, but before a function that a stack is made to return to: no
      // rule there and one behind it is what the walk knows such a stack's end by.
      bool last = i + 1 == pieces.size();
      uint32_t gap = last ? 0 : pieces[i + 1].begin - piece.end;
      if (last || gap > kPadding || (gap && context_starts.IsOne(base_ + pieces[i + 1].begin)))
        out.AddNone(base_ + piece.end - first);
    }
    if (out.Finish()) return;
    table->words.clear();
    table->file = lf_uw_file{};
    table->why = "its table would be larger than 64 MiB";
  }

  void AddFrames(const GoFunctions& go, const GoFrames& function, uint64_t first, TableWriter* out) const {
    const std::vector<GoFrameSize> sizes = FrameSizesOf(go, function);
    for (const GoFrameSize& size : sizes) {
      lf_uw_rule rule{};
      rule.cfa = LF_UW_SP;
      rule.cfa_offset = static_cast<__s32>(size.bytes + sizeof(uint64_t));
      out->Add(size.begin - first, rule);
    }
    const uint64_t known_until = sizes.empty() ? function.begin : sizes.back().end;
    if (known_until < function.end) out->AddNone(known_until - first);
  }

  void Run(const FrameEntries& entries, const Fde& fde, uint64_t first, TableWriter* out) const {
    const FrameSection& section = fde.debug ? debug_ : eh_;
    const uint8_t* instructions = section.bytes.data() + fde.instructions_at;
    FdeCode code{base_ + fde.begin, base_ + fde.end, first, Bytes(instructions, instructions + fde.instructions_size),
                 section.address + fde.instructions_at};
    RunFde(entries.cie(fde), code, out);
  }

  const ElfBytes& elf_;
  int fd_, root_;
  std::vector<TextRange> text_;
  uint64_t base_ = 0;
  FrameSection eh_, debug_;
};

UnwindTable Build(const ElfBytes& elf, int fd, int root, UnwindRules* rules) {
  UnwindTable table;
  try {
    Builder(elf, fd, root).Build(rules, &table);
  } catch (const std::bad_alloc&) {
    table = UnwindTable();
    table.why = "there is not enough memory for its table";
  }
  return table;
}

}  // namespace

UnwindTable BuildUnwindTable(int fd, UnwindRules* rules, int root) {
  return Build(ElfBytes(fd), fd, root, rules);
}

UnwindTable BuildUnwindTableFromImage(const char* image, size_t size, UnwindRules* rules) {
  return Build(ElfBytes(image, size), -1, -1, rules);
}

uint16_t RuleAt(const UnwindTable& table, uint64_t file_address) {
  if (file_address < table.file.first) return 0;
  uint64_t page = (file_address - table.file.first) >> LF_UW_PAGE_SHIFT;
  if (page >= table.file.pages) return 0;
  uint32_t word = table.words[page];
  uint32_t low = 0, high = word & 0xff, offset = file_address & (LF_UW_PAGE_BYTES - 1);
  if (!high) return 0;
  const uint32_t* rows = &table.words[(word >> 16) * LF_UW_CHUNK_WORDS + (word >> 8 & 0xff)];
  // the last row at or before the offset; a page's first is at 0, unless nothing holds there
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (rows[middle] >> 16 <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? static_cast<uint16_t>(rows[low - 1] & 0xffff) : 0;
}

}  // namespace lowflame
