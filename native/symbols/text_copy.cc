// Neighbours first, since code made at run time hardly ever has any; bytes then. See text_copy.h.
#include "text_copy.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "mapped_file.h"
#include "read_at.h"

namespace lowflame {
namespace {

constexpr uint64_t kPlaces = 16;
constexpr size_t kBytes = 64;

bool ReadMemory(uint32_t pid, void* to, size_t bytes, uint64_t from) {
  iovec local{to, bytes}, remote{reinterpret_cast<void*>(from), bytes};
  return process_vm_readv(static_cast<pid_t>(pid), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

}  // namespace

bool IsTextCopy(uint32_t pid, const Mapping& memory, const Mapping* before, const Mapping* after, Mapping* as_file) {
  auto touches = [&](const Mapping* m) {
    return m && m->backing() == Backing::kFile && (m->end == memory.begin || m->begin == memory.end);
  };
  const Mapping* part = touches(before) ? before : touches(after) ? after : nullptr;
  if (!part || part->begin - part->offset > memory.begin || memory.end - memory.begin < kPlaces * kBytes) return false;
  Mapping m = *part;
  m.begin = memory.begin;
  m.end = memory.end;
  m.offset = memory.begin - (part->begin - part->offset);
  m.module = 0;
  const UniqueFd fd = OpenMapped(pid, *part);
  struct stat st;
  const uint64_t bytes = m.end - m.begin;
  if (!fd || fstat(fd.get(), &st) || m.offset + bytes > static_cast<uint64_t>(st.st_size)) return false;
  const uint64_t step = (bytes - kBytes) / (kPlaces - 1);
  unsigned distinct = 0;
  for (uint64_t i = 0; i < kPlaces; i++) {
    char in_memory[kBytes], in_file[kBytes];
    if (!ReadMemory(pid, in_memory, kBytes, m.begin + i * step) ||
        !ReadAt(fd.get(), in_file, kBytes, m.offset + i * step) || memcmp(in_memory, in_file, kBytes) != 0)
      return false;
    // padding is equal everywhere
    if (std::any_of(in_file, in_file + kBytes, [&](char c) { return c != in_file[0]; })) distinct++;
  }
  if (distinct < kPlaces / 2) return false;
  *as_file = std::move(m);
  return true;
}

void RestoreText(uint32_t pid, std::vector<Mapping>* mappings) {
  std::vector<Mapping>& all = *mappings;
  for (size_t i = 0; i < all.size(); i++)
    if (Mapping file{};
        all[i].backing() == Backing::kJit && !all[i].inode &&
        IsTextCopy(pid, all[i], i ? &all[i - 1] : nullptr, i + 1 < all.size() ? &all[i + 1] : nullptr, &file))
      all[i] = std::move(file);
}

}  // namespace lowflame
