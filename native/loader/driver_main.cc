// Drives the loader for tests, on maps of its own; prints one JSON object a line. Wants root.
//
//   lowflame-loader [--bytes N] [--only PID]...    {"ready":...,"ms":...} once the busy processes are known;
//       then an answer to each line on stdin:
//       show PID                     {"parts":...,"startTimeNs":...,"mappings":[...]} of what the kernel has
//       cut PID START STOP ADDRESS   a stack was cut short (lf_uw_stop) at ADDRESS (hexadecimal); {}
//       used PID ADDRESS             a sample has ADDRESS in it; {}
//       outside PID TID IP SP MS     the loader stops; {"stop":...,"frames":[...]} of a thread that sleeps (registers
//       in
//                                    hexadecimal, rbp 0), of walks that may take MS milliseconds
//       facts                        {"processes":...,...,"losses":{...}}
#include <bpf/bpf.h>
#include <sys/resource.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../core/error.h"
#include "../kernel/machine.h"
#include "loader.h"

namespace {

using namespace lowflame;

// As the BPF objects make them.
struct Maps {
  UniqueFd processes, files, tables, rules;
};

UniqueFd Make(bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags, int inner = -1) {
  bpf_map_create_opts opts{};
  opts.sz = sizeof(opts);
  opts.map_flags = flags;
  if (inner >= 0) opts.inner_map_fd = static_cast<uint32_t>(inner);
  UniqueFd map(bpf_map_create(type, "lf_uw_test", key, value, entries, &opts));
  if (!map) throw Error("EBPF", std::string("cannot make a map: ") + strerror(errno));
  return map;
}

Maps MakeMaps() {
  constexpr uint32_t kChunk = LF_UW_CHUNK_WORDS * sizeof(uint32_t);
  UniqueFd inner = Make(BPF_MAP_TYPE_ARRAY, 4, kChunk, 1, BPF_F_INNER_MAP);
  return {Make(BPF_MAP_TYPE_HASH, sizeof(lf_uw_key), sizeof(lf_uw_process), 16384, BPF_F_NO_PREALLOC),
          Make(BPF_MAP_TYPE_ARRAY, 4, sizeof(lf_uw_file), LF_UW_TABLES, 0),
          Make(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, LF_UW_TABLES, 0, inner.get()),
          Make(BPF_MAP_TYPE_ARRAY, 4, sizeof(lf_uw_rule), LF_UW_RULES, 0)};
}

void Show(const Maps& maps, uint32_t pid) {
  std::string rows;
  uint32_t parts = 0;
  uint64_t start = 0;
  for (; parts < LF_UW_PARTS; parts++) {
    const lf_uw_key key{pid, parts};
    lf_uw_process p;
    if (bpf_map_lookup_elem(maps.processes.get(), &key, &p)) break;
    start = p.start_time_ns;
    for (uint32_t i = 0; i < p.mappings && i < LF_UW_PART_MAPPINGS; i++) {
      const lf_uw_mapping& m = p.mapping[i];
      lf_uw_file file{};
      uint32_t inner = 0;
      bpf_map_lookup_elem(maps.files.get(), &m.table, &file);
      const bool loaded = m.table && !bpf_map_lookup_elem(maps.tables.get(), &m.table, &inner);
      char row[256];
      snprintf(row, sizeof(row),
               "%s{\"begin\":\"%" PRIx64 "\",\"end\":\"%" PRIx64 "\",\"table\":%u,\"bias\":\"%" PRIx64
               "\",\"loaded\":%s,\"first\":\"%" PRIx64 "\",\"pages\":%u}",
               rows.empty() ? "" : ",", static_cast<uint64_t>(m.begin),
               static_cast<uint64_t>(m.begin + uint64_t{m.pages} * 4096), m.table, static_cast<uint64_t>(m.bias),
               loaded ? "true" : "false", static_cast<uint64_t>(file.first), file.pages);
      rows += row;
    }
    if (p.next_begin == ~0ull) {
      parts++;
      break;
    }
  }
  printf("{\"parts\":%u,\"startTimeNs\":\"%" PRIu64 "\",\"mappings\":[%s]}\n", parts, start, rows.c_str());
}

void PrintFacts(const UnwindLoader& loader) {
  const UnwindLoader::Facts f = loader.Now();
  printf("{\"processes\":%" PRIu64 ",\"parts\":%" PRIu64 ",\"tables\":%" PRIu64 ",\"tableBytes\":%" PRIu64
         ",\"unreadable\":%" PRIu64 ",\"built\":%" PRIu64 ",\"buildNs\":%" PRIu64 ",\"evicted\":%" PRIu64
         ",\"reread\":%" PRIu64 ",\"cpuNs\":%" PRIu64 ",\"losses\":{",
         f.processes, f.parts, f.tables, f.table_bytes, f.files_unreadable, f.tables_built, f.build_ns, f.evicted,
         f.reread, ReadOwnUsage().user_ns + ReadOwnUsage().system_ns);
  const char* comma = "";
  for (const UnwindLoader::Loss& l : loader.Losses()) {
    printf("%s\"%s\":%" PRIu64, comma, l.id, l.count);
    comma = ",";
  }
  printf("}}\n");
}

void WalkOutside(UnwindLoader* loader, const OutsideThread& thread, uint64_t ms) {
  loader->Stop();
  const StackWalk walk = loader->WalksFromOutside(ms * 1000000)->Walk(thread);
  printf("{\"stop\":%d,\"frames\":[", walk.stop);
  for (size_t i = 0; i < walk.frames.size(); i++) printf("%s\"%" PRIx64 "\"", i ? "," : "", walk.frames[i]);
  printf("]}\n");
}

void Serve(const Maps& maps, UnwindLoader* loader) {
  char line[128];
  while (fgets(line, sizeof(line), stdin)) {
    unsigned pid, stop;
    unsigned long long start, address;
    OutsideThread thread{};
    uint64_t ms;
    if (sscanf(line, "show %u", &pid) == 1) {
      Show(maps, pid);
    } else if (sscanf(line, "cut %u %llu %u %llx", &pid, &start, &stop, &address) == 4) {
      const uint64_t at = address;
      loader->CutShort(pid, start, static_cast<uint8_t>(stop), &at, 1);
      printf("{}\n");
    } else if (sscanf(line, "used %u %llx", &pid, &address) == 2) {
      const uint64_t at = address;
      loader->Used(pid, &at, 1);
      printf("{}\n");
    } else if (sscanf(line, "outside %u %u %" SCNx64 " %" SCNx64 " %" SCNu64, &thread.tgid, &thread.tid,
                      &thread.registers.ip, &thread.registers.sp, &ms) == 5) {
      WalkOutside(loader, thread, ms);
    } else {
      PrintFacts(*loader);
    }
    fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  UnwindLoader::Config config{};
  for (int i = 1; i + 1 < argc; i += 2) {
    const uint64_t value = strtoull(argv[i + 1], nullptr, 10);
    if (!strcmp(argv[i], "--bytes")) config.table_bytes = value;
    if (!strcmp(argv[i], "--only")) config.only.push_back(static_cast<uint32_t>(value));
  }
  // kernels before 5.11 charge maps to it
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  const Maps maps = MakeMaps();
  config.maps = {maps.processes.get(), maps.files.get(), maps.tables.get(), maps.rules.get()};
  config.cpus = OnlineCpus();
  const uint64_t begin = MonotonicNs();
  UnwindLoader loader(config);
  const bool ready = loader.WaitUntilReady(5000);
  printf("{\"ready\":%s,\"ms\":%" PRIu64 "}\n", ready ? "true" : "false", (MonotonicNs() - begin) / 1000000);
  fflush(stdout);
  Serve(maps, &loader);
  return 0;
} catch (const lowflame::Error& e) {
  fprintf(stderr, "lowflame-loader: %s\n", e.what());
  return 1;
}
