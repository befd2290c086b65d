// The table as debug/gosym and runtime/symtab.go of Go 1.2, 1.16, 1.18 and 1.20 describe it: see go_functions.h.
#include "go_functions.h"

#include <gelf.h>

#include <algorithm>
#include <cstring>

#include "elf_sections.h"
#include "file_words.h"
#include "read_at.h"
#include "read_name.h"

namespace lowflame {
namespace {

constexpr uint32_t kGo12 = 0xfffffffb, kGo116 = 0xfffffffa, kGo118 = 0xfffffff0, kGo120 = 0xfffffff1;
constexpr uint64_t kMaxFunctions = 2u << 20;  // Kubernetes has 150,000
constexpr size_t kMaxPlaces = 8;
constexpr size_t kHead = 8;  // magic number, two zeros, size of the smallest instruction, size of an address

bool IsHead(const unsigned char* bytes) {
  uint32_t magic;
  memcpy(&magic, bytes, 4);
  bool known = magic == kGo12 || magic == kGo116 || magic == kGo118 || magic == kGo120;
  return known && !bytes[4] && !bytes[5] && (bytes[6] == 1 || bytes[6] == 2 || bytes[6] == 4) &&
         (bytes[7] == 4 || bytes[7] == 8);
}

uint64_t Number(const unsigned char* bytes, size_t size) {
  uint32_t half;
  uint64_t whole;
  memcpy(&half, bytes, 4);
  if (size == 4) return half;
  memcpy(&whole, bytes, 8);
  return whole;
}

// A linker other than Go's puts the table among other data, and sections can be stripped: then it is looked for, but
// not in every library of C.
bool MayBeGo(Elf* elf, const FileWords& words, uint64_t file_size) {
  GElf_Ehdr file;
  GElf_Shdr section;
  return words.HasGoNote() || FindSection(elf, file_size, ".go.buildinfo", &section) ||
         (gelf_getehdr(elf, &file) && !file.e_shoff);
}

}  // namespace

bool GoFunctions::ReadHead(const FileWords& words, int fd, const Place& place, Layout* out) const {
  unsigned char bytes[kHead + 8 * 8] = {};
  uint64_t room = place.end - place.at;
  if (room < kHead || !ReadAt(fd, bytes, static_cast<size_t>(std::min<uint64_t>(room, sizeof(bytes))), place.at) ||
      !IsHead(bytes))
    return false;
  Layout l;
  l.table = place;
  l.pointer = bytes[7];
  auto word = [&](size_t i) { return Number(bytes + kHead + i * l.pointer, l.pointer); };
  uint32_t magic = static_cast<uint32_t>(Number(bytes, 4));
  l.count = word(0);
  uint64_t list = kHead + l.pointer, records = 0, names = 0;
  if (magic != kGo12) {
    l.relative = magic != kGo116;
    size_t first = l.relative ? 3 : 2;  // before it: numbers of functions and files, from 1.18 on the text's address
    names = word(first);
    list = records = word(first + 4);
  }
  if (!l.count || l.count > kMaxFunctions || list >= room || names >= room ||
      (2 * l.count + 1) * l.entry() > room - list)
    return false;
  l.list = place.at + list;
  l.records = place.at + records;
  l.names = place.at + names;
  uint64_t address;
  if (l.relative) l.text = word(2);
  if (l.relative && words.AddressOf(place.at, &address)) words.PointerAt(address + kHead + 2 * l.pointer, &l.text);
  *out = l;
  return true;
}

// From Go 1.26 on the table does not say where the text begins: only the runtime's description of the program does
// (struct moduledata), which points at the table, at its list, and at the text.
bool GoFunctions::FindText(const FileWords& words, uint64_t first, Layout* l) const {
  enum : uint64_t { kList = 16, kListLength = 17, kMinPc = 20, kText = 22 };  // words of it
  uint64_t table, list;
  if (l->pointer != 8 || !words.AddressOf(l->table.at, &table) || !words.AddressOf(l->list, &list)) return false;
  for (uint64_t at : words.Holding(table)) {
    uint64_t its_list, length, min_pc, text;
    if (words.At(at + kList * 8, 8, &its_list) && its_list == list && words.At(at + kListLength * 8, 8, &length) &&
        length == l->count + 1 && words.At(at + kMinPc * 8, 8, &min_pc) && words.At(at + kText * 8, 8, &text) &&
        min_pc == text + first) {
      l->text = text;
      return true;
    }
  }
  return false;
}

// The list is number of function after number of function: where it begins, where its record is; at last where the last
// one ends.
bool GoFunctions::ReadList(const FileWords& words, int fd, const std::function<bool(uint64_t)>& is_code, Layout* l,
                           std::vector<Function>* out) const {
  const size_t entry = l->entry();
  uint64_t list_address = 0, first = 0;
  words.AddressOf(l->list, &list_address);
  out->clear();
  out->reserve(l->count);
  std::vector<unsigned char> rows(4096 * 2 * entry);
  for (uint64_t i = 0; i <= l->count;) {
    uint64_t rest = (2 * (l->count - i) + 1) * entry;
    size_t size = static_cast<size_t>(std::min<uint64_t>(rows.size(), rest));
    uint64_t at = i * 2 * entry;
    if (!ReadAt(fd, rows.data(), size, l->list + at)) return false;
    for (size_t k = 0; k < size; k += 2 * entry, i++) {
      uint64_t begin = Number(&rows[k], entry);
      // before Go 1.18 these are addresses, which are not in the file where the dynamic linker writes them
      if (!l->relative) words.PointerAt(list_address + at + k, &begin);
      if (i == 0) {
        first = begin;
        if (l->relative && !(l->text && is_code(l->text + begin)) && !FindText(words, begin, l)) return false;
      }
      begin += l->text;
      if (!out->empty()) {
        if (begin < out->back().begin) return false;
        out->back().end = begin;
      }
      if (i == l->count) continue;
      uint64_t record = Number(&rows[k + entry], entry);
      if (record >= l->table.end - l->records) return false;
      out->push_back({begin, begin, static_cast<uint32_t>(record)});
    }
  }
  // the first record must tell the same as the list, or it is a table by chance
  unsigned char bytes[8];
  uint64_t at = l->records + out->front().record, own, address;
  if (!is_code(out->front().begin) || !is_code(out->back().begin) || !ReadAt(fd, bytes, entry, at)) return false;
  own = Number(bytes, entry);
  if (!l->relative && words.AddressOf(at, &address)) words.PointerAt(address, &own);
  return own == first;
}

GoFunctions::Found GoFunctions::Read(void* handle, int fd, uint64_t file_size,
                                     const std::function<bool(uint64_t)>& is_code, std::vector<Function>* out) {
  auto* elf = static_cast<Elf*>(handle);
  std::vector<Place> places;
  GElf_Shdr section;
  for (const char* name : {".gopclntab", ".data.rel.ro.gopclntab"})
    if (FindSection(elf, file_size, name, &section))
      places.push_back({section.sh_offset, section.sh_offset + section.sh_size});
  const bool named = !places.empty();
  FileWords words(elf, fd, file_size);
  if (!named && MayBeGo(elf, words, file_size))
    words.ForEachPiece(true, [&](const unsigned char* bytes, size_t size, uint64_t offset) {
      for (size_t i = 0; i + kHead <= size && places.size() < kMaxPlaces; i += 4)
        if (IsHead(bytes + i)) places.push_back({offset + i, file_size});
      return places.size() < kMaxPlaces;
    });
  for (const Place& place : places) {
    Layout layout;
    if (!ReadHead(words, fd, place, &layout) || !ReadList(words, fd, is_code, &layout, out)) continue;
    layout_ = layout;
    return Found::kRead;
  }
  out->clear();
  return named ? Found::kRefused : Found::kNone;
}

std::string GoFunctions::NameOf(uint32_t record, int fd) const {
  int32_t name;
  uint64_t at = layout_.records + record + layout_.entry();  // behind the address
  if (at + 4 > layout_.table.end || !ReadAt(fd, &name, 4, at) || name < 0) return "";
  uint64_t from = layout_.names + static_cast<uint64_t>(name);
  return from < layout_.table.end ? ReadName(fd, from, layout_.table.end - from) : "";
}

}  // namespace lowflame
