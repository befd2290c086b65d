// The ring of one perf event, mapped: hands out its records whole.
#pragma once

#include <linux/perf_event.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lowflame {

class PerfBuffer {
 public:
  PerfBuffer() = default;
  ~PerfBuffer();
  PerfBuffer(const PerfBuffer&) = delete;
  PerfBuffer& operator=(const PerfBuffer&) = delete;

  // Maps the ring of an event, `ring_bytes` (a power of two) of records. False with errno where the kernel refuses.
  bool Map(int fd, size_t ring_bytes);
  // What the mapping takes of the kernel's memory, bytes.
  size_t bytes() const { return map_bytes_; }
  // Calls `receive` with each record up to the head at the time of the call; a record is valid during its call.
  template <class Receive>
  void Drain(Receive receive) {
    auto* page = reinterpret_cast<perf_event_mmap_page*>(map_);
    const uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
    uint64_t tail = page->data_tail;
    while (const perf_event_header* header = RecordAt(tail, head)) {
      receive(header);
      tail += header->size;
    }
    __atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
  }

 private:
  const perf_event_header* RecordAt(uint64_t tail, uint64_t head);

  uint8_t* map_ = nullptr;
  size_t map_bytes_ = 0, data_bytes_ = 0;
  std::vector<uint8_t> scratch_;
};

}  // namespace lowflame
