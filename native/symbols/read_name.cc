// Small reads first: see read_name.h.
#include "read_name.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace lowflame {

std::string ReadName(int fd, uint64_t at, uint64_t space) {
  char text[kMaxName];
  size_t room = static_cast<size_t>(std::min<uint64_t>(sizeof(text), space)), size = 0;
  if (at > INT64_MAX - sizeof(text)) return "";
  // most names are short: one small read, and the rest only where no end was seen
  for (size_t step = 256; size < room; step = sizeof(text)) {
    ssize_t n = pread(fd, text + size, std::min(step, room - size), static_cast<off_t>(at + size));
    if (n <= 0) return "";
    void* end = memchr(text + size, 0, static_cast<size_t>(n));
    if (end) return std::string(text, static_cast<char*>(end));
    size += static_cast<size_t>(n);
  }
  return room == sizeof(text) ? std::string(text, size) : "";  // without an end it is no name, cut or not
}

}  // namespace lowflame
