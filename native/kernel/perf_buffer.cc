// The mmap ring of perf_event_open(2): see perf_buffer.h.
#include "perf_buffer.h"

#include <sys/mman.h>

#include <cstring>

#include "../core/page.h"

namespace lowflame {

PerfBuffer::~PerfBuffer() {
  if (map_) munmap(map_, map_bytes_);
}

bool PerfBuffer::Map(int fd, size_t ring_bytes) {
  void* map = mmap(nullptr, ring_bytes + kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return false;
  map_ = static_cast<uint8_t*>(map);
  data_bytes_ = ring_bytes;
  map_bytes_ = ring_bytes + kPage;
  return true;
}

// nullptr at the head. A record that runs over the end of the ring is put together in `scratch_`.
const perf_event_header* PerfBuffer::RecordAt(uint64_t tail, uint64_t head) {
  if (head - tail < sizeof(perf_event_header)) return nullptr;
  const uint8_t* data = map_ + kPage;
  const size_t at = tail & (data_bytes_ - 1);
  // records are 8-byte aligned, so a header never wraps
  const auto* header = reinterpret_cast<const perf_event_header*>(data + at);
  const size_t size = header->size, until_end = data_bytes_ - at;
  if (size < sizeof(perf_event_header) || size > head - tail) return nullptr;
  if (size <= until_end) return header;
  scratch_.resize(size);
  memcpy(scratch_.data(), header, until_end);
  memcpy(scratch_.data() + until_end, data, size - until_end);
  return reinterpret_cast<const perf_event_header*>(scratch_.data());
}

}  // namespace lowflame
