// Whether a file is still what it was when it was parsed: names and lines are read from it long after.
#pragma once

#include <cstdint>

namespace lowflame {

// By the time of its last change; where that has moved (touch, a copy of the attributes), by its size and by the bytes
// at 64 places, half a KiB each: 32 KiB of file are compared whole, of larger ones a sample.
class FileStamp {
 public:
  FileStamp() = default;
  explicit FileStamp(int fd);
  // The time of the last change was looked at by others before.
  int64_t modified_ns() const { return modified_ns_; }
  // A stat as long as nobody has changed it.
  bool Holds(int fd);
  // Whether it ever did not hold.
  bool changed() const { return refused_ns_ != 0; }

 private:
  int64_t modified_ns_ = -1, refused_ns_ = 0;
  uint64_t size_ = 0, digest_ = 0;
};

}  // namespace lowflame
