// Plain perf events and their rings: see perf_ring.h. Layouts: perf_event_open(2).
#include "perf_ring.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include <cerrno>
#include <cstring>

#include "../core/error.h"

namespace lowflame {
namespace {

int OpenEvent(perf_event_attr* attr, int cpu, int group) {
  return static_cast<int>(syscall(SYS_perf_event_open, attr, -1, cpu, group, PERF_FLAG_FD_CLOEXEC));
}

perf_event_attr ClockAttributes(bool hardware, uint32_t frequency_hz) {
  perf_event_attr attr{};
  attr.size = sizeof(attr);
  if (hardware) {
    attr.type = PERF_TYPE_HARDWARE;
    attr.config = PERF_COUNT_HW_CPU_CYCLES;
    attr.freq = 1;
    attr.sample_freq = frequency_hz;
  } else {
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_CPU_CLOCK;
    attr.sample_period = 1000000000ull / frequency_hz;
  }
  attr.use_clockid = 1;
  attr.clockid = CLOCK_MONOTONIC;
  return attr;
}

[[noreturn]] void ThrowOpen(int error, int cpu) {
  std::string where = " (perf event on CPU " + std::to_string(cpu) + ")";
  switch (error) {
    case EACCES:
    case EPERM:
      throw Error("EPERM_PERF",
                  "not allowed to sample CPUs" + where + ": run as root, or give CAP_PERFMON and CAP_BPF to lowflame");
    case EMFILE:
      throw Error("EMFILE", "too many open files" + where + ": raise the limit with ulimit -n");
    case ENODEV:
      throw Error("ENODEV_PERF", "the CPU went offline" + where + ": try again");
    default:
      throw Error("EPERF",
                  std::string("cannot open a perf event") + where + ": " + strerror(error) + "; run `lowflame doctor`");
  }
}

constexpr uint64_t kFirstMarker = static_cast<uint64_t>(-4095);  // PERF_CONTEXT_MAX

}  // namespace

bool HardwareCyclesAvailable() {
  perf_event_attr attr = ClockAttributes(true, 99);
  attr.disabled = 1;
  UniqueFd fd(OpenEvent(&attr, 0, -1));
  return static_cast<bool>(fd);
}

PerfRing::PerfRing(int cpu, uint32_t frequency_hz, bool hardware, bool user_chain, size_t ring_bytes) : cpu_(cpu) {
  perf_event_attr attr = ClockAttributes(hardware, frequency_hz);
  attr.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN;
  attr.exclude_callchain_user = !user_chain;
  attr.disabled = 1;
  attr.watermark = 1;
  attr.wakeup_watermark = 0x7fffffff;  // never wake: a timer drains
  fd_ = UniqueFd(OpenEvent(&attr, cpu, -1));
  if (!fd_) ThrowOpen(errno, cpu);
  if (ioctl(fd_.get(), PERF_EVENT_IOC_ID, &id_) != 0) ThrowOpen(errno, cpu);
  if (!buffer_.Map(fd_.get(), ring_bytes))
    throw Error("EPERF_MMAP", "cannot map " + std::to_string(ring_bytes / 1024) + " KiB of perf ring on CPU " +
                                  std::to_string(cpu) + " (" + strerror(errno) +
                                  "): raise kernel.perf_event_mlock_kb or give CAP_IPC_LOCK");
}

int PerfRing::OpenGroupMember(bool hardware, uint32_t frequency_hz) {
  perf_event_attr attr = ClockAttributes(hardware, frequency_hz);
  member_ = UniqueFd(OpenEvent(&attr, cpu_, fd_.get()));
  if (!member_) ThrowOpen(errno, cpu_);
  return member_.get();
}

void PerfRing::Enable() {
  ioctl(fd_.get(), PERF_EVENT_IOC_ENABLE, 0);
}
void PerfRing::Disable() {
  ioctl(fd_.get(), PERF_EVENT_IOC_DISABLE, 0);
}

void PerfRing::Drain(PerfDrain* out) {
  buffer_.Drain([&](const perf_event_header* header) { Decode(header, out); });
}

void PerfRing::Decode(const perf_event_header* header, PerfDrain* out) {
  const auto* words = reinterpret_cast<const uint64_t*>(header + 1);
  size_t count = (header->size - sizeof(perf_event_header)) / 8;
  switch (header->type) {
    case PERF_RECORD_LOST:
      if (count >= 2) out->lost += words[1];
      return;
    case PERF_RECORD_LOST_SAMPLES:
      if (count >= 1) out->lost += words[0];
      return;
    case PERF_RECORD_THROTTLE:
      out->throttled++;
      return;
    case PERF_RECORD_SAMPLE:
      break;
    default:
      return;
  }
  if (count < 4) return;
  // IP, TID, TIME, CALLCHAIN (count, addresses), in this order
  uint64_t depth = words[3];
  if (depth > count - 4) depth = count - 4;
  PerfSample s{};
  s.ip = words[0];
  s.pid = static_cast<uint32_t>(words[1]);
  s.tid = static_cast<uint32_t>(words[1] >> 32);
  s.time_ns = words[2];
  s.user_mode = (header->misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_USER;
  s.chain_begin = s.user_begin = static_cast<uint32_t>(out->addresses.size());
  bool user = false;
  for (uint64_t i = 0; i < depth; i++) {
    uint64_t address = words[4 + i];
    if (address >= kFirstMarker) {
      if (address == PERF_CONTEXT_USER && !user) {
        user = true;
        s.user_begin = static_cast<uint32_t>(out->addresses.size());
      }
      continue;
    }
    out->addresses.push_back(address);
    (user ? s.user_length : s.chain_length)++;
  }
  s.chain_truncated = s.chain_length >= 127;
  out->samples.push_back(s);
}

}  // namespace lowflame
