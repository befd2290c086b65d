// Of memory, and of files in it.
#pragma once

#include <cstdint>

namespace lowflame {

constexpr uint64_t kPage = 4096;

}  // namespace lowflame
