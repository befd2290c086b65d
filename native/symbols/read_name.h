// A name in a file, up to its zero byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lowflame {

// Longer ones are cut.
constexpr size_t kMaxName = 16384;

// Of the text at byte `at`, of which `room` bytes may be read; cut at kMaxName. "" if it has no end within `room`, or
// the file ends before.
std::string ReadName(int fd, uint64_t at, uint64_t room);

}  // namespace lowflame
