// Drives the symbolizer for tests; prints one JSON object a line. Addresses and offsets are hexadecimal.
//
//   lowflame-symbols --pid PID [--start NS] [--also PID] [--records] --user ADDRESS...
//       {"located":[...]} at once; then for each line on stdin {"names":[...]} (after the line "locate" or "exec" the
//       addresses are located again before; after "places" {"places":...} as of --lines, demangled); at its end, or
//       "end", {"stats":{...}}. So a test can end the process in between.
//       Lines without an answer: "at NS", the time of what is located from now on; records, as of IsRecord below.
//       --records: such lines, up to an empty one, come before all else.
//       --also: each address is located in that process too, before.
//   lowflame-symbols --kernel ADDRESS...    {"located":[...]}, {"names":[...]}
//   lowflame-symbols --address SYMBOL...    {"address":"..."} of each kernel symbol
//   lowflame-symbols --demangle NAME...     {"name":"..."} of each
//   lowflame-symbols --elf FILE OFFSET...   {"parsed":...,"parseNs":...,"bytes":...,"refused":...,"names":[...],
//       "begins":[...]} of one file; begins: where the functions begin, null where the file does not tell
//   lowflame-symbols --elf-each OFFSET FILE...   the same of each file
//   lowflame-symbols --lines FILE OFFSET...   {"refused":...,"ns":...,"places":[[{"function","file","line"}...]...]},
//       the innermost function first, names mangled
//   lowflame-symbols --lines-each OFFSET FILE...   the same of each file
#include <fcntl.h>
#include <time.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "elf_symbols.h"
#include "source_lines.h"
#include "symbols.h"

namespace {

using namespace lowflame;

// Bytes that are no ASCII come out as they are: names need not be UTF-8.
std::string Json(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    char escaped[8];
    if (c == '"' || c == '\\')
      snprintf(escaped, sizeof(escaped), "\\%c", c);
    else if (static_cast<unsigned char>(c) < 0x20)
      snprintf(escaped, sizeof(escaped), "\\u%04x", c);
    else
      snprintf(escaped, sizeof(escaped), "%c", c);
    out += escaped;
  }
  return out + '"';
}

std::string JsonList(const std::vector<std::string>& items) {
  std::string out = "[";
  for (const std::string& item : items) out += (out.size() > 1 ? "," : "") + item;
  return out + "]";
}

std::string JsonHex(uint64_t value) {
  char text[24];
  snprintf(text, sizeof(text), "\"%" PRIx64 "\"", value);
  return text;
}

std::vector<uint64_t> Hexes(char** from) {
  std::vector<uint64_t> out;
  for (; *from; from++) out.push_back(strtoull(*from, nullptr, 16));
  return out;
}

std::string JsonPlaces(const std::vector<SourcePlace>& places) {
  std::vector<std::string> rows;
  for (const SourcePlace& p : places)
    rows.push_back("{\"function\":" + Json(p.function) + ",\"file\":" + Json(p.file) +
                   ",\"line\":" + std::to_string(p.line) + "}");
  return JsonList(rows);
}

class Driver {
 public:
  explicit Driver(uint32_t pid) : pid_(pid) {}

  template <class Locate>
  void Print(const std::vector<uint64_t>& addresses, Locate locate) {
    static const char* const kKinds[] = {"kernel", "bpf", "user", "jit", "vdso", "unknown"};
    locations_.clear();
    std::vector<std::string> rows;
    for (uint64_t address : addresses) {
      Location l = locate(address);
      for (ModuleInfo& m : symbolizer->TakeNewModules()) modules_[m.id] = m;
      locations_.push_back(l);
      rows.push_back("{\"module\":" + Json(modules_[l.module].path) + ",\"moduleId\":" + std::to_string(l.module) +
                     ",\"buildId\":" + Json(modules_[l.module].build_id) + ",\"kind\":\"" +
                     kKinds[static_cast<int>(l.kind)] + "\",\"offset\":" + JsonHex(l.offset) + "}");
    }
    printf("{\"located\":%s}\n", JsonList(rows).c_str());
    fflush(stdout);
  }
  void PrintNames() {
    std::vector<std::string> names;
    for (const Location& l : locations_) names.push_back(Json(symbolizer->Name(l, pid_)));
    printf("{\"names\":%s}\n", JsonList(names).c_str());
    fflush(stdout);
  }
  void PrintPlaces() {
    const std::atomic<bool> stop{false};
    std::vector<std::string> rows;
    for (const Location& l : locations_) rows.push_back(JsonPlaces(symbolizer->Places(l, &stop)));
    printf("{\"places\":%s}\n", JsonList(rows).c_str());
    fflush(stdout);
  }
  void PrintStats() {
    SymbolStats s = symbolizer->Stats();
    printf("{\"stats\":{\"filesOpened\":%" PRIu64 ",\"filesFailed\":%" PRIu64 ",\"tablesRefused\":%" PRIu64
           ",\"filesChanged\":%" PRIu64 ",\"namesFound\":%" PRIu64 ",\"namesMissing\":%" PRIu64
           ",\"processesGone\":%" PRIu64 ",\"cacheBytes\":%" PRIu64 "}}\n",
           s.files_opened, s.files_failed, s.tables_refused, s.files_changed, s.names_found, s.names_missing,
           s.processes_gone, s.cache_bytes);
  }

  std::unique_ptr<Symbolizer> symbolizer = Symbolizer::Create();

 private:
  uint32_t pid_;
  std::vector<Location> locations_;
  std::map<uint32_t, ModuleInfo> modules_;
};

// "fork PID PARENT NS", "execed PID NS", "exit PID NS", "map PID NS BEGIN END OFFSET MAJOR:MINOR INODE PATH"
bool IsRecord(const char* line, TaskEvent* e) {
  char path[256];
  if (sscanf(line, "fork %" SCNu32 " %" SCNu32 " %" SCNu64, &e->pid, &e->parent, &e->time_ns) == 3) {
    e->kind = TaskEvent::Kind::kFork;
  } else if (sscanf(line, "execed %" SCNu32 " %" SCNu64, &e->pid, &e->time_ns) == 2) {
    e->kind = TaskEvent::Kind::kExec;
  } else if (sscanf(line, "exit %" SCNu32 " %" SCNu64, &e->pid, &e->time_ns) == 2) {
    e->kind = TaskEvent::Kind::kExit;
  } else if (sscanf(line,
                    "map %" SCNu32 " %" SCNu64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx32 ":%" SCNx32 " %" SCNu64
                    " %255s",
                    &e->pid, &e->time_ns, &e->begin, &e->length, &e->offset, &e->major, &e->minor, &e->inode,
                    path) == 9) {
    e->kind = TaskEvent::Kind::kMap;
    e->length -= e->begin;
    e->path = path;
  } else {
    return false;
  }
  return true;
}

int NameUser(int argc, char** argv) {
  uint32_t pid = static_cast<uint32_t>(strtoul(argv[2], nullptr, 10));
  uint64_t start = 0;
  uint32_t also = 0;
  int at = 3;
  if (argc > 5 && !strcmp(argv[3], "--start")) start = strtoull(argv[4], nullptr, 10), at = 5;
  if (argc > at + 2 && !strcmp(argv[at], "--also"))
    also = static_cast<uint32_t>(strtoul(argv[at + 1], nullptr, 10)), at += 2;
  const bool records = argc > at && !strcmp(argv[at], "--records");
  at += records;
  if (at >= argc || strcmp(argv[at], "--user")) return 2;
  std::vector<uint64_t> addresses = Hexes(argv + at + 1);
  Driver driver(pid);
  uint64_t now = INT64_MAX;  // time of the samples
  auto locate = [&](uint64_t a) {
    if (also) driver.symbolizer->LocateUser(also, 0, a, now);
    return driver.symbolizer->LocateUser(pid, start, a, now);
  };
  char line[512];
  auto told = [&] {
    TaskEvent event{};
    if (sscanf(line, "at %" SCNu64, &now) == 1) return true;
    if (!IsRecord(line, &event)) return false;
    driver.symbolizer->TaskRecord(event);
    return true;
  };
  while (records && fgets(line, sizeof(line), stdin) && told()) {
  }
  driver.Print(addresses, locate);
  while (fgets(line, sizeof(line), stdin)) {
    if (!strcmp(line, "end\n")) break;
    if (told()) continue;
    if (!strcmp(line, "exec\n")) driver.symbolizer->ProcessExec(pid, start, now, false);
    if (!strcmp(line, "exec\n") || !strcmp(line, "locate\n")) driver.Print(addresses, locate);
    if (!strcmp(line, "places\n"))
      driver.PrintPlaces();
    else
      driver.PrintNames();
  }
  driver.PrintStats();
  return 0;
}

int NameInFile(const char* path, const std::vector<uint64_t>& offsets) {
  UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  ElfSymbols symbols = ElfSymbols::Load(fd.get(), path, -1);
  clock_gettime(CLOCK_MONOTONIC, &end);
  std::vector<std::string> names, begins;
  for (uint64_t offset : offsets) names.push_back(Json(symbols.NameAt(offset)));
  for (uint64_t offset : offsets) {
    const std::optional<uint64_t> begin = symbols.BeginAt(offset);
    begins.push_back(begin ? JsonHex(*begin) : "null");
  }
  int64_t ns = (end.tv_sec - begin.tv_sec) * 1000000000ll + end.tv_nsec - begin.tv_nsec;
  printf("{\"parsed\":%s,\"parseNs\":%" PRId64 ",\"bytes\":%" PRIu64 ",\"refused\":%d,\"names\":%s,\"begins\":%s}\n",
         symbols.parsed() ? "true" : "false", ns, symbols.bytes(), symbols.refused(), JsonList(names).c_str(),
         JsonList(begins).c_str());
  return 0;
}

int LinesInFile(const char* path, const std::vector<uint64_t>& offsets) {
  const std::atomic<bool> stop{false};
  UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
  timespec begin, end;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  SourceLines lines(fd.get(), path, -1, &stop);
  std::vector<std::string> rows;
  for (uint64_t offset : offsets) rows.push_back(JsonPlaces(lines.At(offset)));
  clock_gettime(CLOCK_MONOTONIC, &end);
  int64_t ns = (end.tv_sec - begin.tv_sec) * 1000000000ll + end.tv_nsec - begin.tv_nsec;
  printf("{\"refused\":%s,\"ns\":%" PRId64 ",\"places\":%s}\n", lines.refused() ? "true" : "false", ns,
         JsonList(rows).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string mode = argc > 2 ? argv[1] : "";
  if (mode == "--pid") return NameUser(argc, argv);
  if (mode == "--elf") return NameInFile(argv[2], Hexes(argv + 3));
  if (mode == "--lines") return LinesInFile(argv[2], Hexes(argv + 3));
  if (mode == "--lines-each") {
    for (int i = 3; i < argc; i++) LinesInFile(argv[i], {strtoull(argv[2], nullptr, 16)});
    return 0;
  }
  if (mode == "--elf-each") {
    for (int i = 3; i < argc; i++) NameInFile(argv[i], {strtoull(argv[2], nullptr, 16)});
    return 0;
  }
  if (mode == "--kernel") {
    Driver driver(0);
    driver.Print(Hexes(argv + 2), [&](uint64_t a) { return driver.symbolizer->LocateKernel(a); });
    driver.PrintNames();
    return 0;
  }
  if (mode != "--demangle" && mode != "--address") {
    fprintf(stderr, "lowflame-symbols: the forms of the command are at the head of native/symbols/driver_main.cc\n");
    return 2;
  }
  for (int i = 2; i < argc; i++) {
    if (mode == "--demangle")
      printf("{\"name\":%s}\n", Json(Demangle(argv[i])).c_str());
    else
      printf("{\"address\":%s}\n", JsonHex(KernelSymbolAddress(argv[i])).c_str());
  }
  return 0;
}
