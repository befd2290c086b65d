// A stat, then a digest of places: see file_stamp.h.
#include "file_stamp.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "elf_file.h"

namespace lowflame {
namespace {

constexpr uint64_t kPlaces = 64, kBytes = 512;

uint64_t DigestOf(int fd, uint64_t size) {
  const uint64_t step = size > kPlaces * kBytes ? (size - kBytes) / (kPlaces - 1) : kBytes;
  uint64_t digest = size;
  for (uint64_t i = 0; i < kPlaces && i * step < size; i++) {
    uint64_t words[kBytes / sizeof(uint64_t)] = {};
    if (pread(fd, words, std::min(kBytes, size - i * step), static_cast<off_t>(i * step)) < 0) return 0;
    for (uint64_t word : words) {
      digest = (digest ^ word) * 0xff51afd7ed558ccdull;
      digest ^= digest >> 32;
    }
  }
  return digest | 1;  // 0: could not be read
}

uint64_t SizeOf(int fd) {
  struct stat st;
  return fstat(fd, &st) ? 0 : static_cast<uint64_t>(st.st_size);
}

}  // namespace

FileStamp::FileStamp(int fd) : modified_ns_(ModifiedNs(fd)), size_(SizeOf(fd)), digest_(DigestOf(fd, size_)) {}

bool FileStamp::Holds(int fd) {
  const int64_t modified_ns = ModifiedNs(fd);
  if (modified_ns == modified_ns_) return true;
  if (modified_ns == refused_ns_) return false;
  const uint64_t size = SizeOf(fd);
  const uint64_t digest = size == size_ && digest_ ? DigestOf(fd, size) : 0;
  // not while somebody writes
  if (digest && digest == digest_ && ModifiedNs(fd) == modified_ns) {
    modified_ns_ = modified_ns;
    return true;
  }
  refused_ns_ = modified_ns;
  return false;
}

}  // namespace lowflame
