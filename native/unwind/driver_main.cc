// Drives the unwind tables for tests; prints one JSON object a line. Addresses are file addresses, hexadecimal.
//
//   lowflame-unwind table FILE...           {"why":"","rows":...,"rules":...,...} of each file; rules of all together
//   lowflame-unwind rule FILE ADDRESS...    {"cfa":"sp","cfaOffset":8,...} of each address; "-": addresses from stdin
//   lowflame-unwind vdso                    as `table`, of the image in this process
//   lowflame-unwind --root DIR …            the same; debug files are looked for below DIR first
#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <time.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include "../core/unique_fd.h"
#include "table.h"

namespace {

using namespace lowflame;

// Rows and rules that a walker follows with two additions and two loads: CFA from rsp or rbp, rbp saved at the CFA.
bool IsPlain(const lf_uw_rule& rule) {
  return rule.cfa == LF_UW_NONE ||
         ((rule.cfa == LF_UW_SP || rule.cfa == LF_UW_FP) && (rule.fp == LF_UW_FP_SAME || rule.fp == LF_UW_FP_CFA));
}

void PrintTable(const UnwindTable& table, const UnwindRules& rules, double ms, double cpu_ms) {
  std::set<uint32_t> distinct, directory(table.words.begin(), table.words.begin() + table.file.pages);
  uint64_t plain = 0, rows = 0;
  for (uint32_t word : directory) {
    for (uint32_t i = 0; i < (word & 0xff); i++) {
      uint32_t row = table.words[(word >> 16) * LF_UW_CHUNK_WORDS + (word >> 8 & 0xff) + i];
      distinct.insert(row & 0xffff);
      plain += IsPlain(rules.rules()[row & 0xffff]);
      rows++;
    }
  }
  printf("{\"why\":\"%s\",\"rows\":%" PRIu64 ",\"rules\":%zu,\"rulesOfAll\":%zu,\"rulesDropped\":%" PRIu64
         ",\"bytes\":%zu,\"textBytes\":%" PRIu64 ",\"plain\":%.6f,\"rowsLeftOut\":%" PRIu64
         ",\"rowsUnsupported\":%" PRIu64 ",\"functions\":%" PRIu64 ",\"functionsLeftOut\":%" PRIu64
         ",\"first\":\"%" PRIx64 "\",\"pages\":%u,\"directoryChunks\":%u,\"ms\":%.3f,\"cpuMs\":%.3f}\n",
         table.why.c_str(), table.rows, distinct.size(), rules.rules().size(), rules.dropped(),
         table.words.size() * sizeof(uint32_t), table.text_bytes, rows ? static_cast<double>(plain) / rows : 0,
         table.rows_left_out, table.rows_unsupported, table.functions, table.functions_left_out,
         static_cast<uint64_t>(table.file.first), table.file.pages, table.file.directory_chunks, ms, cpu_ms);
}

double Milliseconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int PrintTables(char** files, int root) {
  UnwindRules rules;
  for (; *files; files++) {
    UniqueFd fd(open(*files, O_RDONLY | O_CLOEXEC));
    double begin = Milliseconds(CLOCK_MONOTONIC), cpu_begin = Milliseconds(CLOCK_THREAD_CPUTIME_ID);
    UnwindTable table = BuildUnwindTable(fd.get(), &rules, root);
    PrintTable(table, rules, Milliseconds(CLOCK_MONOTONIC) - begin, Milliseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_begin);
  }
  return 0;
}

int PrintVdso() {
  const char* image = reinterpret_cast<const char*>(getauxval(AT_SYSINFO_EHDR));
  if (!image) return 1;
  Elf64_Ehdr header;
  memcpy(&header, image, sizeof(header));
  // the kernel builds it so that its section headers come last
  size_t size = header.e_shoff + size_t{header.e_shnum} * header.e_shentsize;
  UnwindRules rules;
  double begin = Milliseconds(CLOCK_MONOTONIC), cpu_begin = Milliseconds(CLOCK_THREAD_CPUTIME_ID);
  UnwindTable table = BuildUnwindTableFromImage(image, size, &rules);
  PrintTable(table, rules, Milliseconds(CLOCK_MONOTONIC) - begin, Milliseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_begin);
  return 0;
}

int PrintRules(const char* file, char** addresses, int root) {
  static const char* const kCfa[] = {"none",    "sp",     "fp",  "plt",         "derefSp",
                                     "derefFp", "signal", "end", "unsupported", "otherStack"};
  static const char* const kFp[] = {"same", "cfa", "derefFp", "lost"};
  UnwindRules rules;
  UniqueFd fd(open(file, O_RDONLY | O_CLOEXEC));
  UnwindTable table = BuildUnwindTable(fd.get(), &rules, root);
  if (!table.why.empty()) {
    fprintf(stderr, "lowflame-unwind: %s: %s\n", file, table.why.c_str());
    return 1;
  }
  auto print = [&](const char* address) {
    const lf_uw_rule& rule = rules.rules()[RuleAt(table, strtoull(address, nullptr, 16))];
    printf("{\"cfa\":\"%s\",\"cfaOffset\":%d,\"cfaAdd\":%d,\"fp\":\"%s\",\"fpOffset\":%d}\n", kCfa[rule.cfa],
           rule.cfa_offset, rule.cfa_add, kFp[rule.fp], rule.fp_offset);
  };
  char line[64];
  if (*addresses && !strcmp(*addresses, "-"))
    while (fgets(line, sizeof(line), stdin)) print(line);
  else
    for (; *addresses; addresses++) print(*addresses);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  UniqueFd root;
  if (argc > 2 && !strcmp(argv[1], "--root")) {
    root = UniqueFd(open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC));
    argc -= 2;
    argv += 2;
  }
  std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "table" && argc > 2) return PrintTables(argv + 2, root.get());
  if (mode == "rule" && argc > 3) return PrintRules(argv[2], argv + 3, root.get());
  if (mode == "vdso") return PrintVdso();
  fprintf(stderr, "lowflame-unwind: the forms of the command are at the head of native/unwind/driver_main.cc\n");
  return 2;
}
