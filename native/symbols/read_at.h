// Reads from a file at a place, without moving where others read: all that was asked for, or nothing.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace lowflame {

// `size` bytes at byte `at`; false if the file has not so many there.
inline bool ReadAt(int fd, void* to, size_t size, uint64_t at) {
  return at <= INT64_MAX && pread(fd, to, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size);
}

}  // namespace lowflame
