// The programs' settings: see settings.h.
#include "settings.h"

#include <algorithm>
#include <cstring>

namespace lowflame {

lf_settings SettingsOf(const ObjectConfig& config) {
  lf_settings s{};
  s.filter_pids = static_cast<uint32_t>(config.filters.pids.size());
  s.filter_comms = static_cast<uint32_t>(std::min<size_t>(config.filters.comms.size(), LF_MAX_COMMS));
  for (uint32_t i = 0; i < s.filter_comms; i++) strncpy(s.comm[i], config.filters.comms[i].c_str(), LF_COMM_LEN - 1);
  s.filter_cgroups = static_cast<uint32_t>(std::min<size_t>(config.filters.cgroups.size(), LF_MAX_CGROUPS));
  s.filter_cpus = !config.filters.cpus.empty();
  for (int cpu : config.filters.cpus)
    if (cpu >= 0 && cpu < LF_MAX_CPUS) s.cpu_bits[cpu / 64] |= 1ull << (cpu % 64);
  s.swevent_function = config.swevent_function;
  s.threshold_ns = config.threshold_ns;
  s.stacks_per_window = 50;
  s.slot_sets = std::max(1u, config.slot_sets);
  s.want_offcpu = config.want_offcpu;
  s.want_futex = config.want_futex;
  s.want_calls = config.want_calls;
  s.call_sets = std::max(1u, config.call_sets);
  s.call_busy_limit_ns = config.call_busy_limit_ns;
  s.call_blocked_limit_ns = config.call_blocked_limit_ns;
  s.wall_offset_ns = config.wall_offset_ns;
  s.tick_ns = config.tick_ns;
  s.lock_sets = std::max(1u, config.lock_sets);
  s.lock_limit_ns = config.lock_limit_ns;
  s.sched_text = config.sched_text;
  s.table_mask = config.table_rows ? config.table_rows - 1 : UINT32_MAX;
  s.user_stack_in_chain = config.user_stack_in_chain;
  s.unwind = config.unwind;
  return s;
}

}  // namespace lowflame
