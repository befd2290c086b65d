// One CPU's clock samples: a plain perf event with kernel call chains in its own mmap ring. No BPF program is attached
// to it, because the kernel would turn that program (and the sample with it) away inside other tools' BPF programs.
#pragma once

#include <cstdint>
#include <vector>

#include "../core/unique_fd.h"
#include "perf_buffer.h"

namespace lowflame {

// What a perf record said, decoded. `chain` is leaf first, without context markers.
struct PerfSample {
  uint64_t time_ns;
  uint64_t ip;
  uint32_t pid, tid;
  bool user_mode;
  bool chain_truncated;
  uint32_t chain_begin, chain_length;  // kernel half, in PerfDrain::addresses
  uint32_t user_begin, user_length;    // user half, only where the ring was opened with it
};

struct PerfDrain {
  std::vector<PerfSample> samples;
  std::vector<uint64_t> addresses;
  uint64_t lost = 0;       // PERF_RECORD_LOST, samples
  uint64_t throttled = 0;  // PERF_RECORD_THROTTLE, times
  void Clear() {
    samples.clear();
    addresses.clear();
    lost = throttled = 0;
  }
};

class PerfRing {
 public:
  // Opens a disabled event on `cpu`: hardware cycles if `hardware`, else cpu-clock; `user_chain`: with the user half
  // in the call chain. Throws Error.
  PerfRing(int cpu, uint32_t frequency_hz, bool hardware, bool user_chain, size_t ring_bytes);
  PerfRing(const PerfRing&) = delete;
  PerfRing& operator=(const PerfRing&) = delete;

  void Enable();
  void Disable();
  // Appends all records up to the head at the time of the call.
  void Drain(PerfDrain* out);
  int cpu() const { return cpu_; }
  int fd() const { return fd_.get(); }
  uint64_t id() const { return id_; }
  size_t bytes() const { return buffer_.bytes(); }
  // Opens a second event in this event's group for a BPF program. Throws Error.
  int OpenGroupMember(bool hardware, uint32_t frequency_hz);

 private:
  void Decode(const perf_event_header* header, PerfDrain* out);

  int cpu_;
  UniqueFd fd_, member_;
  uint64_t id_ = 0;
  PerfBuffer buffer_;
};

// True if the machine counts hardware cycles for us.
bool HardwareCyclesAvailable();

}  // namespace lowflame
