// Drives the walker in tests: tables, stacks and registers come as lines on standard input, numbers hexadecimal.
//
//   process TGID PART START GENERATION NEXT   mappings of a process
//   mapping BEGIN PAGES TABLE BIAS            one more of the process named last
//   file TABLE FIRST PAGES DIRECTORY          a file as the walker sees it
//   table TABLE WORD...                       words of its table from the beginning; the rest of the last chunk is 0
//   rule ID CFA FP CFA_OFFSET FP_OFFSET CFA_ADD
//   stack ADDRESS BYTES                       stack memory, two digits a byte; all else cannot be read
//   walk TGID START IP SP BP                  prints {"stop":...,"frames":["..."],"reads":...}: reads = times that the
//                                             walk copied stack memory
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "stack_walk.h"

namespace {

using namespace lowflame;

class Given : public WalkSource {
 public:
  bool ReadStack(void* to, size_t bytes, uint64_t from) override {
    reads++;
    auto it = stacks.upper_bound(from);
    if (it == stacks.begin()) return false;
    --it;
    const uint64_t at = from - it->first, have = it->second.size();
    if (at > have || bytes > have - at) return false;
    memcpy(to, it->second.data() + at, bytes);
    return true;
  }
  const lf_uw_process* Process(const lf_uw_key& key) override { return Find(&processes, {key.tgid, key.part}); }
  const lf_uw_file* File(uint32_t table) override { return Find(&files, table); }
  const lf_uw_rule* Rule(uint32_t rule) override { return Find(&rules, rule); }
  TableWords* Table(uint32_t table) override { return Find(&tables, table); }

  std::map<std::pair<uint32_t, uint32_t>, lf_uw_process> processes;
  std::map<uint32_t, lf_uw_file> files;
  std::map<uint32_t, lf_uw_rule> rules;
  std::map<uint32_t, TableWords> tables;
  std::map<uint64_t, std::string> stacks;
  uint64_t reads = 0;

 private:
  template <class Map>
  static typename Map::mapped_type* Find(Map* map, const typename Map::key_type& key) {
    auto it = map->find(key);
    return it == map->end() ? nullptr : &it->second;
  }
};

[[noreturn]] void Refuse(const std::string& line) {
  fprintf(stderr, "lowflame-walk: cannot read \"%s\"\n", line.substr(0, 80).c_str());
  exit(2);
}

// The next number of a line; "-8" is allowed.
struct Fields {
  std::istringstream in;
  const std::string& line;

  uint64_t Next() {
    std::string field;
    if (!(in >> field)) Refuse(line);
    const bool minus = field[0] == '-';
    char* end;
    const uint64_t value = strtoull(field.c_str() + minus, &end, 16);
    if (*end) Refuse(line);
    return minus ? -value : value;
  }
  uint32_t Next32() { return static_cast<uint32_t>(Next()); }
  bool More() { return !(in >> std::ws).eof(); }
};

std::string Bytes(const std::string& hex, const std::string& line) {
  std::string out;
  if (hex.size() % 2) Refuse(line);
  for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  return out;
}

void Print(const StackWalk& walk, uint64_t reads) {
  printf("{\"stop\":%d,\"reads\":%" PRIu64 ",\"frames\":[", walk.stop, reads);
  for (size_t i = 0; i < walk.frames.size(); i++) printf("%s\"%" PRIx64 "\"", i ? "," : "", walk.frames[i]);
  printf("]}\n");
}

}  // namespace

int main() {
  Given given;
  lf_uw_process* process = nullptr;
  std::string line;
  while (std::getline(std::cin, line)) {
    Fields f{std::istringstream(line), line};
    std::string what;
    f.in >> what;
    if (what == "process") {
      const uint32_t tgid = f.Next32(), part = f.Next32();
      process = &given.processes[{tgid, part}];
      process->start_time_ns = f.Next();
      process->generation = f.Next32();
      process->next_begin = f.Next();
    } else if (what == "mapping" && process && process->mappings < LF_UW_PART_MAPPINGS) {
      lf_uw_mapping& m = process->mapping[process->mappings++];
      m.begin = f.Next();
      m.pages = f.Next32();
      m.table = f.Next32();
      m.bias = f.Next();
    } else if (what == "file") {
      lf_uw_file& file = given.files[f.Next32()];
      file.first = f.Next();
      file.pages = f.Next32();
      file.directory_chunks = f.Next32();
    } else if (what == "table") {
      TableWords& words = given.tables[f.Next32()];
      while (f.More()) words.push_back(f.Next32());
      words.resize((words.size() + LF_UW_CHUNK_WORDS - 1) / LF_UW_CHUNK_WORDS * LF_UW_CHUNK_WORDS);
    } else if (what == "rule") {
      lf_uw_rule& rule = given.rules[f.Next32()];
      rule.cfa = static_cast<uint8_t>(f.Next());
      rule.fp = static_cast<uint8_t>(f.Next());
      rule.cfa_offset = static_cast<int32_t>(f.Next());
      rule.fp_offset = static_cast<int32_t>(f.Next());
      rule.cfa_add = static_cast<int32_t>(f.Next());
    } else if (what == "stack") {
      const uint64_t at = f.Next();
      std::string hex;
      f.in >> hex;
      given.stacks[at] = Bytes(hex, line);
    } else if (what == "walk") {
      const uint32_t tgid = f.Next32();
      const uint64_t start = f.Next();
      WalkRegisters registers{};
      registers.ip = f.Next();
      registers.sp = f.Next();
      registers.bp = f.Next();
      given.reads = 0;
      const StackWalk walk = WalkStack(&given, tgid, start, registers);
      Print(walk, given.reads);
    } else {
      Refuse(line);
    }
  }
  return 0;
}
