// The compiled BPF objects, embedded in the addon.
#pragma once

#include <cstddef>

#include "objects.h"

namespace lowflame {

struct SkeletonData {
  const char* name;
  const void* bytes;
  size_t size;
  const char* areas_map;
  const char* rings_map;
  size_t area_bytes;
};
SkeletonData SkeletonBytes(Object::Kind kind);

}  // namespace lowflame
