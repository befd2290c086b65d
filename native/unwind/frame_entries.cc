// Entries in the order of their sections, then by address: see frame_entries.h. Formats: DWARF 5, section 6.4.1, and
// LSB Core, "Exception Frames", which differs in the identifiers and in the augmentation "z…".
#include "frame_entries.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace lowflame {
namespace {

constexpr uint32_t kNoCie = UINT32_MAX;
constexpr size_t kMaxFdes = 4u << 20;             // Chromium with all of its functions would have one million
constexpr size_t kMaxCies = 1u << 16;             // linkers leave a few
constexpr size_t kMaxCieInstructions = 1u << 10;  // compilers write 5 bytes; they are read again for each CIE
constexpr uint8_t kOmit = 0xff;                   // DW_EH_PE_omit

// The augmentation string, and the data that "z" announces. False: something unknown that may change what follows.
bool ReadAugmentation(const char* text, size_t size, Bytes* in, Cie* cie) {
  if (!size) return true;
  if (text[0] != 'z') return false;
  cie->augmented = true;
  Bytes data = in->Take(in->Uleb());
  for (size_t i = 1; i < size; i++) {
    uint64_t ignored;
    uint8_t encoding;
    switch (text[i]) {
      case 'R':
        cie->encoding = data.Read<uint8_t>();
        break;
      case 'L':
        data.Read<uint8_t>();
        break;
      case 'P':
        encoding = data.Read<uint8_t>();
        // where it leads does not matter, only how long it is
        if (encoding != kOmit && !ReadEncoded(&data, encoding & 0x0f, 0, &ignored)) return false;
        break;
      case 'S':
      case 'B':
        break;  // a signal frame is known by its rules; return addresses signed on ARM
      default:
        return false;
    }
  }
  return data.ok();
}

// Body of a CIE, after its identifier.
bool ReadCie(Bytes in, bool debug, Cie* cie) {
  auto version = in.Read<uint8_t>();
  if (version != 1 && version != 3 && version != 4) return false;
  const auto* text = reinterpret_cast<const char*>(in.at());
  size_t size = strnlen(text, in.left());
  if (!in.Skip(size + 1)) return false;
  if (version == 4 && (in.Read<uint8_t>() != 8 || in.Read<uint8_t>() != 0)) return false;  // sizes: address, segment
  cie->code_align = in.Uleb();
  cie->data_align = in.Sleb();
  uint64_t column = version == 1 ? in.Read<uint8_t>() : in.Uleb();
  if (column > UINT8_MAX || !cie->code_align) return false;
  cie->return_column = static_cast<uint8_t>(column);
  if (debug) cie->encoding = 0;
  if (!ReadAugmentation(text, size, &in, cie) || !in.ok()) return false;
  return in.left() <= kMaxCieInstructions && RunCie(in, cie);
}

}  // namespace

struct FrameEntries::Entry {
  size_t body_at, end;  // after the identifier
  uint64_t cie_at;      // of an FDE: where its CIE is
  bool cie;
};

namespace {

// The entry at `*at`, which moves on to the next. False: the section ends here.
template <class Entry>
bool Next(const FrameSection& section, size_t* at, Entry* entry) {
  const uint8_t* bytes = section.bytes.data();
  Bytes in(bytes + *at, bytes + section.bytes.size());
  uint64_t length = in.Read<uint32_t>();
  // where files were linked together an entry of length 0 may stand between others
  while (in.ok() && !length && !section.open_ended) length = in.Read<uint32_t>();
  bool wide = length == UINT32_MAX;  // 64-bit DWARF
  if (wide) length = in.Read<uint64_t>();
  if (!in.ok() || !length || length > in.left()) return false;
  auto id_at = static_cast<size_t>(in.at() - bytes);
  *at = entry->end = id_at + static_cast<size_t>(length);
  // in .eh_frame a pointer back, of 4 bytes whatever the length; in .debug_frame a place in the section
  bool wide_id = wide && section.debug;
  uint64_t id = wide_id ? in.Read<uint64_t>() : in.Read<uint32_t>();
  entry->body_at = std::min(static_cast<size_t>(in.at() - bytes), entry->end);
  entry->cie = id == (!section.debug ? 0 : wide_id ? UINT64_MAX : UINT32_MAX);
  entry->cie_at = section.debug ? id : id_at - id;
  return true;
}

}  // namespace

uint32_t FrameEntries::CieAt(const FrameSection& section, uint64_t at) {
  Entry entry;
  auto position = static_cast<size_t>(at);
  if (at >= section.bytes.size() || cies_.size() >= kMaxCies || !Next(section, &position, &entry) || !entry.cie)
    return kNoCie;
  Cie cie;
  const uint8_t* bytes = section.bytes.data();
  if (!ReadCie(Bytes(bytes + entry.body_at, bytes + entry.end), section.debug, &cie)) return kNoCie;
  cies_.push_back(cie);
  return static_cast<uint32_t>(cies_.size() - 1);
}

// True: it is in the list, or is about nothing that is code of this file.
bool FrameEntries::ReadFde(const FrameSection& section, const Entry& entry, uint32_t cie_index) {
  const Cie& cie = cies_[cie_index];
  const uint8_t* bytes = section.bytes.data();
  Bytes in(bytes + entry.body_at, bytes + entry.end);
  uint64_t begin, size;
  uint64_t address = section.address + static_cast<uint64_t>(in.at() - bytes);
  if (!ReadEncoded(&in, cie.encoding, address, &begin) || !ReadEncoded(&in, cie.encoding & 0x0f, 0, &size))
    return false;
  if (cie.augmented) in.Take(in.Uleb());
  if (!in.ok()) return false;
  auto range = std::upper_bound(text_.begin(), text_.end(), begin,
                                [](uint64_t value, const TextRange& r) { return value < r.end; });
  if (!size || range == text_.end() || begin < range->begin) return true;  // of code that the linker took out
  uint64_t end = size < range->end - begin ? begin + size : range->end;
  fdes_.push_back({static_cast<uint32_t>(begin - base_), static_cast<uint32_t>(end - base_),
                   static_cast<uint32_t>(in.at() - bytes), static_cast<uint32_t>(in.left()), cie_index, section.debug});
  return true;
}

void FrameEntries::Read(const FrameSection& section) {
  std::unordered_map<uint64_t, uint32_t> known;  // CIEs by place
  uint64_t last_at = UINT64_MAX;
  uint32_t last = kNoCie;
  Entry entry;
  for (size_t at = 0; at < section.bytes.size() && Next(section, &at, &entry);) {
    if (entry.cie) continue;
    if (entry.cie_at != last_at) {
      auto [found, is_new] = known.try_emplace(entry.cie_at, kNoCie);
      if (is_new) found->second = CieAt(section, entry.cie_at);
      last_at = entry.cie_at;
      last = found->second;
    }
    if (last == kNoCie || fdes_.size() >= kMaxFdes || !ReadFde(section, entry, last)) left_out_++;
  }
}

void FrameEntries::Settle() {
  std::sort(fdes_.begin(), fdes_.end(), [](const Fde& a, const Fde& b) {
    if (a.begin != b.begin) return a.begin < b.begin;
    return a.debug != b.debug ? b.debug : a.end > b.end;
  });
  size_t kept = 0;
  uint32_t eh_end = 0;
  for (const Fde& fde : fdes_) {
    if (fde.debug && fde.begin < eh_end) continue;
    if (kept) {
      Fde& before = fdes_[kept - 1];
      if (before.begin == fde.begin) continue;
      before.end = std::min(before.end, fde.begin);
    }
    if (!fde.debug) eh_end = std::max(eh_end, fde.end);
    fdes_[kept++] = fde;
  }
  fdes_.resize(kept);
}

uint64_t FrameEntries::covered_bytes() const {
  uint64_t bytes = 0;
  for (const Fde& fde : fdes_) bytes += fde.end - fde.begin;
  return bytes;
}

}  // namespace lowflame
