// What a recording tells of itself at its start and, with all that was counted in the kernel, at its end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "../kernel/machine.h"
#include "../kernel/objects.h"
#include "../kernel/other_programs.h"
#include "../symbols/symbols.h"
#include "descriptor_seconds.h"

namespace lowflame {

struct StartFacts {
  uint64_t start_monotonic_ns = 0, start_wall_ns = 0;
  std::string cpu_event;
  std::vector<int> online_cpus;
  std::vector<ProgramInfo> programs;
  std::vector<MapInfo> maps;
  std::vector<std::string> notes;
};

struct Loss {
  std::string id;
  uint64_t count;
  std::string meaning;
};

struct CpuCount {
  int cpu;
  double expected;
  uint64_t received, idle;
};

struct TotalRow {
  int64_t process;
  uint32_t state;
  uint64_t count, sum_ns, max_ns;
};

struct RunQueueRow {
  int64_t process;
  uint64_t count, sum_ns, max_ns;
  std::vector<uint32_t> buckets;
};

struct LockTotal {
  int64_t lock, process;
  uint64_t count, sum_ns, max_ns, timeouts;
  std::vector<uint64_t> buckets;
};

struct CallTotal {
  int64_t process;  // -1 = other
  int32_t syscall;  // -1 = other
  uint64_t count, bytes, errors, busy_ns, blocked_ns, waiting_ns, max_ns;
  std::map<uint32_t, uint64_t> by_error;  // 0 = the errors beyond the first kinds (LF_ERRORS) of each CPU
  std::vector<uint64_t> buckets, busy_buckets;
};

struct EndpointTotal {
  int64_t process, endpoint;  // -1 = other
  uint64_t count, bytes_out, bytes_in, errors, again, busy_ns, blocked_ns, waiting_ns, max_ns, turns, turn_ns,
      turn_max_ns, whole_ns, whole_max_ns, pauses, late, late_ns, late_max_ns, late_passed_ns, late_awake_ns,
      late_slept_ns, unanswered, unanswered_ns, closed, closed_ns, closed_max_ns;
  uint32_t queue_max, queue_limit;
  std::vector<uint64_t> buckets, turn_buckets, closed_buckets;
  std::vector<int64_t> whole_buckets;  // below zero where a part of an answer found its row full on another CPU
};

struct DescriptorTotal {
  int64_t process, endpoint;
  uint64_t fd, count, again, for_ns;
  DescriptorSeconds::Second worst;
};

struct TcpTotal {
  int64_t endpoint;  // -1 = other
  uint64_t connects, connects_failed, connect_ns, connect_max_ns, accepted, closes, resets_sent, resets_received,
      retransmits, connects_unanswered, failed_ns;
  std::vector<uint64_t> buckets;
};

struct ConnectingRow {
  int64_t process, endpoint;  // -1 = unknown
  uint64_t count, unanswered, sent_again, max_ns;
};

struct CloseWaitRow {
  int64_t process, endpoint;  // -1 = unknown
  uint64_t count;
  int fd;  // one of them
};

struct ListenQueueRow {
  int64_t process, endpoint;  // -1 = unknown
  uint64_t length, capacity;  // capacity 0 = unknown
};

struct UnwindingFacts {
  uint64_t processes, tables, table_bytes, build_ns, rereads, files_without, files_unreadable, rows_left_out;
};

struct FinalFacts {
  uint64_t end_monotonic_ns = 0, threshold_max_ns = 0;
  std::vector<Loss> losses;
  std::vector<Object::Cost> program_costs;
  uint64_t agent_user_ns = 0, agent_system_ns = 0, peak_rss_bytes = 0, kernel_bytes = 0;
  std::vector<CpuTimes> cpu_times_start, cpu_times_end;
  std::vector<CpuCount> samples_per_cpu;
  std::vector<TotalRow> offcpu_totals;
  std::vector<RunQueueRow> run_queue;
  std::vector<LockTotal> lock_totals;
  std::vector<CallTotal> call_totals;
  std::vector<EndpointTotal> endpoint_totals;
  std::vector<DescriptorTotal> descriptor_totals;
  std::vector<TcpTotal> tcp_totals;
  std::vector<ConnectingRow> connecting;
  std::vector<CloseWaitRow> close_waits;
  std::vector<ListenQueueRow> listen_queues;
  bool tcp_counters = false;  // whether the next ones were read
  uint64_t listen_overflows = 0, listen_drops = 0, close_wait_at_end = 0, tick_ns = 0;
  std::vector<OtherProgram> other_programs;
  std::optional<UnwindingFacts> unwinding;  // absent: frame pointers
  SymbolStats names;
  bool statistics_on = true;
};

struct LiveCounts {
  uint64_t samples, stacks, lost;
};

}  // namespace lowflame
