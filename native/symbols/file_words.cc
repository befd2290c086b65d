// By program headers and dynamic relocations alone, which a file without section headers has too: see file_words.h.
#include "file_words.h"

#include <elf.h>
#include <gelf.h>

#include <algorithm>
#include <cstring>

#include "elf_sections.h"
#include "read_at.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxRelocationBytes = 48u << 20;  // two million
constexpr uint64_t kMaxScanned = 256u << 20;
constexpr size_t kMaxSegments = 4096, kMaxHits = 16, kMaxNotes = 65536, kMaxDynamic = 4096;
constexpr size_t kPiece = 1u << 20, kOverlap = 8;

// The relocation that says "the address at which the file is loaded, plus this".
uint32_t RelativeType(uint16_t machine) {
  return machine == EM_X86_64 ? R_X86_64_RELATIVE : machine == EM_AARCH64 ? R_AARCH64_RELATIVE : UINT32_MAX;
}

}  // namespace

FileWords::FileWords(void* handle, int fd, uint64_t file_size) : fd_(fd) {
  auto* elf = static_cast<Elf*>(handle);
  size_t count = 0;
  GElf_Ehdr file;
  if (elf_getphdrnum(elf, &count) || !gelf_getehdr(elf, &file)) return;
  Segment dynamic{};
  for (size_t i = 0; i < std::min(count, kMaxSegments); i++) {
    GElf_Phdr p;
    if (!gelf_getphdr(elf, static_cast<int>(i), &p) || !Within(p.p_offset, p.p_filesz, file_size)) continue;
    Segment s{p.p_offset, p.p_vaddr, p.p_filesz, (p.p_flags & PF_X) != 0};
    if (p.p_type == PT_LOAD) segments_.push_back(s);
    if (p.p_type == PT_NOTE) notes_.push_back(s);
    if (p.p_type == PT_DYNAMIC) dynamic = s;
  }
  if (file.e_type != ET_DYN || file.e_ident[EI_CLASS] != ELFCLASS64) return;
  uint64_t table = 0, bytes = 0;
  for (uint64_t i = 0; i < std::min<uint64_t>(dynamic.size / sizeof(Elf64_Dyn), kMaxDynamic); i++) {
    Elf64_Dyn entry;
    if (!ReadAt(fd, &entry, sizeof(entry), dynamic.offset + i * sizeof(entry)) || entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_RELA) table = entry.d_un.d_ptr;
    if (entry.d_tag == DT_RELASZ) bytes = entry.d_un.d_val;
  }
  uint64_t at, room;
  if (table && OffsetOf(table, &at, &room)) ReadPointers(at, std::min(bytes, room), RelativeType(file.e_machine));
}

void FileWords::ReadPointers(uint64_t at, uint64_t size, uint32_t type) {
  if (size > kMaxRelocationBytes) return;
  std::vector<Elf64_Rela> rows(4096);
  for (uint64_t done = 0; done + sizeof(Elf64_Rela) <= size;) {
    size_t count = static_cast<size_t>(std::min<uint64_t>(rows.size(), (size - done) / sizeof(Elf64_Rela)));
    if (!ReadAt(fd_, rows.data(), count * sizeof(Elf64_Rela), at + done)) break;
    for (size_t i = 0; i < count; i++)
      if (ELF64_R_TYPE(rows[i].r_info) == type)
        pointers_.push_back({rows[i].r_offset, static_cast<uint64_t>(rows[i].r_addend)});
    done += count * sizeof(Elf64_Rela);
  }
  std::sort(pointers_.begin(), pointers_.end(),
            [](const Pointer& a, const Pointer& b) { return a.address < b.address; });
}

bool FileWords::AddressOf(uint64_t offset, uint64_t* address) const {
  for (const Segment& s : segments_) {
    if (offset < s.offset || offset - s.offset >= s.size) continue;
    *address = offset - s.offset + s.address;
    return true;
  }
  return false;
}

bool FileWords::OffsetOf(uint64_t address, uint64_t* offset, uint64_t* room) const {
  for (const Segment& s : segments_) {
    if (address < s.address || address - s.address >= s.size) continue;
    *offset = address - s.address + s.offset;
    *room = s.size - (address - s.address);
    return true;
  }
  return false;
}

bool FileWords::PointerAt(uint64_t address, uint64_t* value) const {
  auto pointer = std::lower_bound(pointers_.begin(), pointers_.end(), address,
                                  [](const Pointer& p, uint64_t a) { return p.address < a; });
  if (pointer == pointers_.end() || pointer->address != address) return false;
  *value = pointer->value;
  return true;
}

bool FileWords::At(uint64_t address, size_t bytes, uint64_t* value) const {
  if (bytes == 8 && PointerAt(address, value)) return true;
  uint64_t offset, room;
  uint32_t half;
  if (!OffsetOf(address, &offset, &room) || room < bytes) return false;
  if (bytes == 8) return ReadAt(fd_, value, 8, offset);
  if (!ReadAt(fd_, &half, 4, offset)) return false;
  *value = half;
  return true;
}

std::vector<uint64_t> FileWords::Holding(uint64_t value) const {
  std::vector<uint64_t> out;
  for (const Pointer& p : pointers_)
    if (p.value == value && out.size() < kMaxHits) out.push_back(p.address);
  ForEachPiece(false, [&](const unsigned char* bytes, size_t size, uint64_t offset) {
    for (size_t i = 0; i + 8 <= size && out.size() < kMaxHits; i += 8) {
      uint64_t word, address;
      memcpy(&word, bytes + i, 8);
      if (word == value && AddressOf(offset + i, &address)) out.push_back(address);
    }
    return out.size() < kMaxHits;
  });
  return out;
}

void FileWords::ForEachPiece(bool code_too,
                             const std::function<bool(const unsigned char*, size_t, uint64_t)>& see) const {
  std::vector<unsigned char> piece(kPiece + kOverlap);
  uint64_t left = kMaxScanned;
  for (bool code : {false, true}) {
    if (code && !code_too) return;
    for (const Segment& s : segments_) {
      if (s.code != code) continue;
      for (uint64_t done = 0; done < s.size && left; done += kPiece) {
        size_t size = static_cast<size_t>(std::min<uint64_t>(piece.size(), s.size - done));
        if (!ReadAt(fd_, piece.data(), size, s.offset + done)) break;
        if (!see(piece.data(), size, s.offset + done)) return;
        left -= std::min<uint64_t>(left, kPiece);
      }
    }
  }
}

bool FileWords::HasGoNote() const {
  static const unsigned char kNote[] = {4, 0, 0, 0, 'G', 'o', 0, 0};  // type "build ID", owner "Go"
  for (const Segment& s : notes_) {
    std::vector<unsigned char> bytes(static_cast<size_t>(std::min<uint64_t>(s.size, kMaxNotes)));
    if (ReadAt(fd_, bytes.data(), bytes.size(), s.offset) &&
        std::search(bytes.begin(), bytes.end(), std::begin(kNote), std::end(kNote)) != bytes.end())
      return true;
  }
  return false;
}

}  // namespace lowflame
