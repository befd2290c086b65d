// Searching .eh_frame_hdr in its file: see function_starts.h.
#include "function_starts.h"

#include <gelf.h>

#include <cstddef>

#include "elf_sections.h"
#include "read_at.h"

namespace lowflame {
namespace {

// DWARF exception header encodings (LSB 5.0 Core, 10.5.1): relative to the header, four bytes with a sign; four bytes
// without.
constexpr uint8_t kRelativeToHeader = 0x3b, kUnsigned4 = 0x03;
constexpr uint8_t kSizeOfPointer4 = 0x0b, kSizeMask = 0x0f;

struct Header {
  uint8_t version, pointer_encoding, count_encoding, table_encoding;
  int32_t frames;
  uint32_t count;
};
struct Row {
  int32_t function, entry;
};
struct Entry {
  uint32_t length;
  uint32_t common;
  int32_t function;  // relative to where it stands
  uint32_t bytes;
};

}  // namespace

void FunctionStarts::Read(void* handle, int fd, uint64_t file_size) {
  auto* elf = static_cast<Elf*>(handle);
  size_t count = 0;
  GElf_Phdr header{}, p;
  if (elf_getphdrnum(elf, &count)) return;
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr(elf, static_cast<int>(i), &p) && p.p_type == PT_GNU_EH_FRAME) header = p;
  if (header.p_type != PT_GNU_EH_FRAME || !Within(header.p_offset, header.p_filesz, file_size)) return;
  // entries lie beside their table
  for (size_t i = 0; i < count; i++) {
    if (!gelf_getphdr(elf, static_cast<int>(i), &p) || p.p_type != PT_LOAD || header.p_offset < p.p_offset ||
        !Within(header.p_offset - p.p_offset, header.p_filesz, p.p_filesz) ||
        !Within(p.p_offset, p.p_filesz, file_size))
      continue;
    Header h;
    if (header.p_filesz < sizeof(h) || !ReadAt(fd, &h, sizeof(h), header.p_offset)) return;
    if (h.version != 1 || (h.pointer_encoding & kSizeMask) != kSizeOfPointer4 || h.count_encoding != kUnsigned4 ||
        h.table_encoding != kRelativeToHeader || h.count > (header.p_filesz - sizeof(h)) / sizeof(Row))
      return;
    offset_ = header.p_offset;
    address_ = header.p_vaddr;
    room_ = p.p_filesz - (header.p_offset - p.p_offset);
    count_ = h.count;
    return;
  }
}

std::optional<uint64_t> FunctionStarts::At(uint64_t address, int fd) const {
  uint64_t low = 0, high = count_;
  Row found{};
  // the last row at or before the address
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    Row row;
    if (!ReadAt(fd, &row, sizeof(row), offset_ + sizeof(Header) + middle * sizeof(Row))) return {};
    if (address_ + static_cast<uint64_t>(int64_t{row.function}) <= address) {
      found = row;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0 || found.entry < 0 || !Within(static_cast<uint64_t>(found.entry), sizeof(Entry), room_)) return {};
  const auto entry_at = static_cast<uint64_t>(found.entry);
  const uint64_t begin = address_ + static_cast<uint64_t>(int64_t{found.function});
  Entry entry;
  if (!ReadAt(fd, &entry, sizeof(entry), offset_ + entry_at)) return {};
  // a table that leads elsewhere, or an entry in another form: no start is better than a wrong one
  const uint64_t told =
      address_ + entry_at + offsetof(Entry, function) + static_cast<uint64_t>(int64_t{entry.function});
  if (entry.length < sizeof(Entry) - sizeof(entry.length) || entry.length == UINT32_MAX || !entry.common ||
      told != begin || address - begin >= entry.bytes)
    return {};
  return begin;
}

}  // namespace lowflame
