// A name in a file, up to its zero byte.
#pragma once

#include <cstdint>
#include <string>

namespace lowflame {

// Of the text at byte `at`, of which `room` bytes may be read; cut at 16 KiB. "" if it has no end within `room`, or the
// file ends before.
std::string ReadName(int fd, uint64_t at, uint64_t room);

}  // namespace lowflame
