// Fuzzes the unwind tables with libFuzzer: any bytes as an ELF file, and, behind a first byte that asks for it, as the
// .eh_frame or .debug_frame of an otherwise sane file. Built on request only: scripts/fuzz.
#include <elf.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "table.h"

namespace {

using namespace lowflame;

constexpr uint64_t kTextAt = 0x1000, kTextBytes = 0x4000, kFramesAt = 0x8000;

// A file of one executable segment at 0x1000 and one section with the given content: header, segment, content, names,
// section headers.
std::vector<char> Wrap(const uint8_t* frames, size_t size, bool debug) {
  static const char kNames[] = "\0.eh_frame\0.debug_frame\0.shstrtab";
  size_t at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), names_at = at + size, headers_at = names_at + sizeof(kNames);
  std::vector<char> file(headers_at + 3 * sizeof(Elf64_Shdr) + kTextBytes);
  Elf64_Ehdr header{};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  header.e_shoff = headers_at;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shstrndx = 2;
  Elf64_Phdr text{};
  text.p_type = PT_LOAD;
  text.p_flags = PF_X;
  text.p_vaddr = kTextAt;
  text.p_filesz = kTextBytes;
  Elf64_Shdr sections[3]{};
  sections[1].sh_type = sections[2].sh_type = SHT_PROGBITS;
  sections[1].sh_name = debug ? 11 : 1;
  sections[1].sh_addr = kFramesAt;
  sections[1].sh_offset = at;
  sections[1].sh_size = size;
  sections[2].sh_name = 24;
  sections[2].sh_offset = names_at;
  sections[2].sh_size = sizeof(kNames);
  memcpy(file.data(), &header, sizeof(header));
  memcpy(file.data() + sizeof(header), &text, sizeof(text));
  if (size) memcpy(file.data() + at, frames, size);
  memcpy(file.data() + names_at, kNames, sizeof(kNames));
  memcpy(file.data() + headers_at, sections, sizeof(sections));
  return file;
}

void Check(bool holds) {
  if (!holds) abort();
}

// What every reader of a table relies on.
void CheckTable(const UnwindTable& table, const UnwindRules& rules) {
  Check(table.words.empty() != table.why.empty());
  Check(table.words.size() % LF_UW_CHUNK_WORDS == 0 && table.words.size() / LF_UW_CHUNK_WORDS <= 65536);
  if (table.words.empty()) return;
  Check(table.file.first % LF_UW_PAGE_BYTES == 0 && table.file.pages <= 1u << 20);
  Check(uint64_t{table.file.directory_chunks} * LF_UW_CHUNK_WORDS >= table.file.pages);
  for (uint32_t page = 0; page < table.file.pages; page++) {
    uint32_t word = table.words[page], chunk = word >> 16, first = word >> 8 & 0xff, rows = word & 0xff;
    if (!word) continue;
    Check(rows && chunk >= table.file.directory_chunks && first + rows <= LF_UW_CHUNK_WORDS);
    Check((chunk + size_t{1}) * LF_UW_CHUNK_WORDS <= table.words.size());
    const uint32_t* row = &table.words[chunk * LF_UW_CHUNK_WORDS + first];
    Check(row[0] >> 16 == 0);
    for (uint32_t i = 0; i < rows; i++) {
      Check((row[i] & 0xffff) < rules.rules().size() && row[i] >> 16 < LF_UW_PAGE_BYTES);
      Check(!i || row[i - 1] >> 16 < row[i] >> 16);
    }
  }
  for (uint64_t at : {table.file.first - 1, table.file.first + (uint64_t{table.file.pages} << LF_UW_PAGE_SHIFT)})
    Check(RuleAt(table, at) == 0);
}

void Run(const char* bytes, size_t size) {
  UnwindRules rules;
  UnwindTable table = BuildUnwindTableFromImage(bytes, size, &rules);
  CheckTable(table, rules);
  Check(rules.rules().size() <= LF_UW_RULES);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size && data[0] < 2) {
    std::vector<char> file = Wrap(data + 1, size - 1, data[0] == 1);
    Run(file.data(), file.size());
  } else {
    Run(reinterpret_cast<const char*>(data), size);
  }
  return 0;
}
