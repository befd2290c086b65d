// Life of the BPF objects: see objects.h.
#include "objects.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../core/error.h"
#include "settings.h"
#include "skeletons.h"

namespace lowflame {
namespace {
// the section of lf_active, bpf/filter.bpf.h
constexpr char kActiveMap[] = ".data.active";

thread_local std::string libbpf_log;

int Print(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[512];
  vsnprintf(line, sizeof(line), format, args);
  libbpf_log += line;
  if (libbpf_log.size() > 16384) libbpf_log.erase(0, libbpf_log.size() - 8192);
  return 0;
}

size_t PageUp(size_t n) {
  return (n + 4095) & ~size_t{4095};
}

[[noreturn]] void ThrowLoad(int error, const char* what) {
  std::string log = TakeLibbpfLog();
  std::string last;
  for (size_t end = log.size(); end > 0;) {
    size_t begin = log.rfind('\n', end - 1);
    last = log.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1));
    if (!last.empty()) break;
    end = begin == std::string::npos ? 0 : begin;
  }
  /* EACCES is also what the verifier says of a program that it refuses, with its reasons */
  if (error == EPERM || (error == EACCES && log.find("PROG LOAD LOG") == std::string::npos))
    throw Error("EPERM_BPF", std::string("not allowed to load BPF programs (") + what +
                                 "): run as root, or give CAP_BPF and CAP_PERFMON to lowflame");
  if (error == EMFILE)
    throw Error("EMFILE", std::string("too many open files (") + what + "): raise the limit with ulimit -n 1024");
  if (error == ENOMEM)
    throw Error("ENOMEM_BPF", std::string("the kernel has no memory for BPF maps (") + what +
                                  "): free memory, or raise the locked-memory limit (ulimit -l)");
  throw Error("EBPF_LOAD", std::string("the kernel refused ") + what + ": " + strerror(error) +
                               (last.empty() ? "" : " (" + last + ")") + "; run `lowflame doctor`");
}

const char* MapTypeName(uint32_t type) {
  switch (type) {
    case BPF_MAP_TYPE_HASH:
      return "hash";
    case BPF_MAP_TYPE_ARRAY:
      return "array";
    case BPF_MAP_TYPE_CGROUP_ARRAY:
      return "cgroup_array";
    case BPF_MAP_TYPE_ARRAY_OF_MAPS:
      return "array_of_maps";
    case BPF_MAP_TYPE_RINGBUF:
      return "ringbuf";
    default:
      return "other";
  }
}

// The kernel's own figure, from /proc/self/fdinfo.
uint64_t MemlockBytes(int fd) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
  FILE* f = fopen(path, "re");
  if (!f) return 0;
  char line[256];
  unsigned long long bytes = 0;
  while (fgets(line, sizeof(line), f))
    if (sscanf(line, "memlock: %llu", &bytes) == 1) break;
  fclose(f);
  return bytes;
}

}  // namespace

void QuietLibbpf() {
  libbpf_set_print(Print);
}
std::string TakeLibbpfLog() {
  return std::exchange(libbpf_log, {});
}

KernelFeatures AskKernel() {
  KernelFeatures f;
  QuietLibbpf();
  btf* b = btf__load_vmlinux_btf();
  if (!b || libbpf_get_error(b)) return f;
  f.btf = true;
  auto tracepoint = [&](const char* name) {
    return btf__find_by_name_kind(b, (std::string("btf_trace_") + name).c_str(), BTF_KIND_TYPEDEF);
  };
  // commit "sched: Add sched tracepoints for RV task model" (6.15; named sched_exit_tp since 6.16)
  f.sched_exit = tracepoint("sched_exit_tp") > 0;
  f.hrtimer_expire = tracepoint("hrtimer_expire_entry") > 0;
  // commit "sched/tracing: Append prev_state to tp args instead" (5.18): __data, preempt, prev, next, prev_state
  int id = tracepoint("sched_switch");
  if (id > 0) {
    const btf_type* t = btf__type_by_id(b, btf__type_by_id(b, static_cast<uint32_t>(id))->type);
    if (t && btf_is_ptr(t)) t = btf__type_by_id(b, t->type);
    f.switch_state = t && btf_is_func_proto(t) && btf_vlen(t) >= 5;
  }
  f.contention = tracepoint("contention_begin") > 0 && tracepoint("contention_end") > 0;
  f.task_from_pid = btf__find_by_name_kind(b, "bpf_task_from_pid", BTF_KIND_FUNC) > 0;
  f.kmem_cache = btf__find_by_name_kind(b, "bpf_get_kmem_cache", BTF_KIND_FUNC) > 0;
  f.rdonly_cast = btf__find_by_name_kind(b, "bpf_rdonly_cast", BTF_KIND_FUNC) > 0;
  f.uring = tracepoint("io_uring_submit_req") > 0;
  f.tcp = tracepoint("inet_sock_set_state") > 0 && tracepoint("tcp_retransmit_skb") > 0 &&
          tracepoint("tcp_send_reset") > 0 && tracepoint("tcp_receive_reset") > 0;
  int task = btf__find_by_name_kind(b, "task_struct", BTF_KIND_STRUCT);
  if (task > 0) {
    const btf_type* t = btf__type_by_id(b, static_cast<uint32_t>(task));
    const btf_member* m = btf_members(t);
    for (int i = 0; i < btf_vlen(t); i++)
      if (strcmp(btf__name_by_offset(b, m[i].name_off), "sched_info") == 0) {
        const btf_type* s = btf__type_by_id(b, m[i].type);
        f.sched_info = s && btf_vlen(s) > 0;
      }
  }
  btf__free(b);
  return f;
}

Object::Object(Kind kind) : kind_(kind) {
  QuietLibbpf();
  const SkeletonData data = SkeletonBytes(kind);
  areas_map_ = data.areas_map;
  rings_map_ = data.rings_map;
  area_bytes_ = data.area_bytes;
  bpf_object_open_opts opts{};
  opts.sz = sizeof(opts);
  opts.object_name = data.name;
  object_ = bpf_object__open_mem(data.bytes, data.size, &opts);
  if (!object_) ThrowLoad(errno, data.name);
}

Object::~Object() {
  Detach();
  ring_buffer__free(rings_);
  for (CpuPart& p : cpus_)
    if (p.memory) munmap(p.memory, PageUp(area_bytes_));
  bpf_object__close(object_);
}

void Object::Configure(const ObjectConfig& config, const std::vector<std::string>& programs) {
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    bpf_program__set_autoload(program, std::count(programs.begin(), programs.end(), bpf_program__name(program)) > 0);
  }
  bpf_map* map;
  bpf_object__for_each_map(map, object_) {
    const std::string name = bpf_map__name(map);
    if (name == areas_map_ || name == rings_map_ || (config.unwind && (name == "lf_uw_areas" || name == "lf_uw_rings")))
      bpf_map__set_max_entries(map, static_cast<uint32_t>(config.possible_cpus));
    // a section's flags are libbpf's, and it knows none that says "for user space to write"
    if (name == kActiveMap) bpf_map__set_map_flags(map, bpf_map__map_flags(map) | BPF_F_RDONLY_PROG);
    if (name == "lf_call_slots" && config.call_sets) bpf_map__set_max_entries(map, config.call_sets);
    if (name == "lf_lock_slots" && config.lock_sets) bpf_map__set_max_entries(map, config.lock_sets);
    if ((name == "lf_slots" || name == "lf_full_sets") && config.slot_sets)
      bpf_map__set_max_entries(map, config.slot_sets);
    if (name == "lf_uw_processes") bpf_map__set_max_entries(map, config.unwind ? config.unwind_processes : 1);
    // what nobody will fill takes no room
    if (!config.unwind && (name == "lf_uw_files" || name == "lf_uw_rules" || name == "lf_uw_tables"))
      bpf_map__set_max_entries(map, 1);
    if (name == "lf_pids")
      bpf_map__set_max_entries(map, static_cast<uint32_t>(std::max<size_t>(1, config.filters.pids.size())));
    if (name.size() > 7 && name.compare(name.size() - 7, 7, ".rodata") == 0) {
      size_t size = 0;
      const void* initial = bpf_map__initial_value(map, &size);
      if (!initial || size < sizeof(lf_settings))
        throw Error("EBPF_OBJECT", "the BPF object does not match the addon: build again");
      std::vector<char> copy(static_cast<const char*>(initial), static_cast<const char*>(initial) + size);
      const lf_settings s = SettingsOf(config);
      memcpy(copy.data(), &s, sizeof(s));
      bpf_map__set_initial_value(map, copy.data(), size);
    }
  }
}

void Object::ShareMap(const char* name, int fd) {
  bpf_map* map = bpf_object__find_map_by_name(object_, name);
  if (map) bpf_map__reuse_fd(map, fd);
}

void Object::Load() {
  TakeLibbpfLog();
  if (int err = bpf_object__load(object_)) ThrowLoad(-err, bpf_object__name(object_));
}

void Object::FillFilters(const ObjectConfig& config) {
  int pids = MapFd("lf_pids");
  for (uint32_t pid : config.filters.pids) {
    uint32_t one = 1;
    if (pids >= 0) bpf_map_update_elem(pids, &pid, &one, BPF_ANY);
  }
  int cgroups = MapFd("lf_cgroups");
  for (uint32_t i = 0; i < config.filters.cgroups.size() && i < LF_MAX_CGROUPS; i++) {
    const std::string& path = config.filters.cgroups[i];
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int raw = fd.get();
    if (!fd || bpf_map_update_elem(cgroups, &i, &raw, BPF_ANY) != 0)
      throw Error("ECGROUP",
                  "cannot filter by cgroup " + path + " (" + strerror(errno) +
                      "): give the directory of a version 2 cgroup, e.g. /sys/fs/cgroup/system.slice/nginx.service");
  }
}

void Object::AddCpu(int cpu, uint32_t ring_bytes) {
  if (AreaAt(cpu)) return;
  bpf_map_create_opts opts{};
  opts.sz = sizeof(opts);
  opts.map_flags = BPF_F_MMAPABLE;
  CpuPart part{cpu,
               UniqueFd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "lf_area", 4, static_cast<uint32_t>(area_bytes_), 1, &opts)),
               UniqueFd(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "lf_ring", 0, 0, ring_bytes, nullptr)), nullptr};
  if (!part.area || !part.ring) ThrowLoad(errno, "the maps of a CPU");
  part.memory = mmap(nullptr, PageUp(area_bytes_), PROT_READ | PROT_WRITE, MAP_SHARED, part.area.get(), 0);
  if (part.memory == MAP_FAILED) {
    part.memory = nullptr;
    ThrowLoad(errno, "the mapping of a CPU's counters");
  }
  int area = part.area.get(), ring = part.ring.get();
  if (bpf_map_update_elem(MapFd(rings_map_), &cpu, &ring, BPF_ANY) ||
      bpf_map_update_elem(MapFd(areas_map_), &cpu, &area, BPF_ANY)) {
    int error = errno;
    munmap(part.memory, PageUp(area_bytes_));
    ThrowLoad(error, "the maps of a CPU");
  }
  auto added = [&] {
    if (!rings_) {
      rings_ = ring_buffer__new(ring, OnRecord, this, nullptr);
      return rings_ ? 0 : -errno;
    }
    return ring_buffer__add(rings_, ring, OnRecord, this);
  }();
  cpus_.push_back(std::move(part));
  if (added) ThrowLoad(-added, "the ring of a CPU");
}

void* Object::AreaAt(int cpu) const {
  for (const CpuPart& p : cpus_)
    if (p.cpu == cpu) return p.memory;
  return nullptr;
}

int Object::OnRecord(void* self, void* data, size_t size) {
  auto* object = static_cast<Object*>(self);
  if (size >= sizeof(lf_record) && object->receiver_) object->receiver_(static_cast<const lf_record*>(data), size);
  return 0;
}

int Object::WakeFd() const {
  return rings_ ? ring_buffer__epoll_fd(rings_) : -1;
}

int Object::Drain() {
  return rings_ ? ring_buffer__consume(rings_) : 0;
}

void Object::Attach() {
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    if (!bpf_program__autoload(program)) continue;
    bpf_prog_type type = bpf_program__type(program);
    if (type == BPF_PROG_TYPE_PERF_EVENT || bpf_program__expected_attach_type(program) == BPF_TRACE_ITER) continue;
    bpf_link* link = bpf_program__attach(program);
    if (!link) ThrowLoad(errno, bpf_program__name(program));
    links_.push_back(link);
  }
}

void Object::AttachToPerfEvent(const char* name, int perf_fd) {
  bpf_program* program = bpf_object__find_program_by_name(object_, name);
  bpf_link* link = program ? bpf_program__attach_perf_event(program, perf_fd) : nullptr;
  if (!link) ThrowLoad(errno, name);
  links_.push_back(link);
}

void Object::Activate(uint64_t since_ns) {
  uint32_t zero = 0;
  bpf_map_update_elem(MapFd(kActiveMap), &zero, &since_ns, BPF_ANY);
}

void Object::Detach() {
  for (bpf_link* link : links_) bpf_link__destroy(link);
  links_.clear();
}

int Object::MapFd(const char* name) const {
  bpf_map* map = bpf_object__find_map_by_name(object_, name);
  return map ? bpf_map__fd(map) : -1;
}

UniqueFd Object::StartIterator(const char* name) {
  bpf_program* program = bpf_object__find_program_by_name(object_, name);
  bpf_link* link = program ? bpf_program__attach_iter(program, nullptr) : nullptr;
  if (!link) ThrowLoad(errno, name);
  UniqueFd fd(bpf_iter_create(bpf_link__fd(link)));
  bpf_link__destroy(link);
  return fd;
}

std::vector<ProgramInfo> Object::Programs() const {
  std::vector<ProgramInfo> rows;
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    if (!bpf_program__autoload(program)) continue;
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size)) continue;
    ProgramInfo row;
    row.name = bpf_program__name(program);
    char tag[17];
    for (int i = 0; i < 8; i++) snprintf(tag + 2 * i, 3, "%02x", info.tag[i]);
    row.tag = tag;
    row.id = info.id;
    row.attached_to = bpf_program__section_name(program);
    if (row.attached_to[0] == '?') row.attached_to.erase(0, 1);
    row.type = row.attached_to.substr(0, row.attached_to.find('/'));
    rows.push_back(row);
  }
  return rows;
}

std::vector<MapInfo> Object::Maps() const {
  std::vector<MapInfo> rows;
  auto add = [&](int fd, const std::string& name, bool written) {
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size)) return;
    rows.push_back({name, MapTypeName(info.type), MemlockBytes(fd), written});
  };
  bpf_map* map;
  bpf_object__for_each_map(map, object_) {
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &size)) continue;
    // arrays of maps are written by the addon alone; what programs may write is what lacks BPF_F_RDONLY_PROG
    bool written = !(info.map_flags & BPF_F_RDONLY_PROG) && info.type != BPF_MAP_TYPE_ARRAY_OF_MAPS &&
                   info.type != BPF_MAP_TYPE_CGROUP_ARRAY;
    add(bpf_map__fd(map), bpf_map__name(map), written);
  }
  for (const CpuPart& p : cpus_) {
    add(p.area.get(), std::string(areas_map_) + "[" + std::to_string(p.cpu) + "]", true);
    add(p.ring.get(), std::string(rings_map_) + "[" + std::to_string(p.cpu) + "]", true);
  }
  for (const auto& [name, map] : adopted_) add(map.get(), name, true);
  return rows;
}

uint64_t Object::MemoryBytes() const {
  uint64_t bytes = 0;
  for (const MapInfo& m : Maps()) bytes += m.bytes;
  return bytes;
}

std::vector<Object::Cost> Object::Costs() const {
  std::vector<Cost> rows;
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    if (!bpf_program__autoload(program)) continue;
    bpf_prog_info info{};
    uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size)) continue;
    rows.push_back({bpf_program__name(program), info.run_cnt, info.run_time_ns, info.recursion_misses, info.id});
  }
  return rows;
}

}  // namespace lowflame
