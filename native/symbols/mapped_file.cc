// /proc/PID/map_files, then /proc/PID/root: see mapped_file.h.
#include "mapped_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "read_at.h"
#include "rooted_open.h"

namespace lowflame {
namespace {

// What the kernel puts behind the path of a file that no directory has any more.
constexpr const char* kDeletedFile = " (deleted)";

std::string MapFile(uint32_t pid, const Mapping& m) {
  char path[96];
  snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", pid, static_cast<unsigned long long>(m.begin),
           static_cast<unsigned long long>(m.end));
  return path;
}

uint64_t DeviceOf(const struct stat& st) {
  return static_cast<uint64_t>(major(st.st_dev)) << 32 | minor(st.st_dev);
}

// The path may lead to another file by now. Device numbers of overlay and btrfs differ between maps and stat, so only
// the inode can be compared where the devices do not agree, and there it is no proof either way.
bool MayBeTheSame(const struct stat& st, const Mapping& m) {
  return DeviceOf(st) != m.device || st.st_ino == m.inode;
}

// A library may have been closed since, and another one be at its addresses. Where devices cannot be compared, the path
// must be the mapping's; a record tells it from the root of the process, which may lie below ours.
bool IsOf(const std::string& link, const struct stat& st, const Mapping& m) {
  if (DeviceOf(st) == m.device) return st.st_ino == m.inode;
  std::string path(4096, 0);
  const ssize_t length = readlink(link.c_str(), &path[0], path.size());
  if (length <= 0) return false;
  path.resize(static_cast<size_t>(length));
  auto ends_with = [&](const std::string& end) {
    return path.size() >= end.size() && !path.compare(path.size() - end.size(), end.size(), end);
  };
  return ends_with(m.path) || ends_with(m.path + kDeletedFile);
}

// Where the mapping itself leads to, if that is still the same file.
bool StatMapFile(uint32_t pid, const Mapping& m, std::string* link, struct stat* st) {
  *link = MapFile(pid, m);
  return !stat(link->c_str(), st) && IsOf(*link, *st, m);
}

UniqueFd OpenByPath(uint32_t pid, const Mapping& m) {
  if (m.deleted) return UniqueFd();
  struct stat st;
  UniqueFd root = OpenRoot(pid);
  UniqueFd fd = root ? OpenBelow(root.get(), m.path) : UniqueFd();
  if (fd && !fstat(fd.get(), &st) && MayBeTheSame(st, m)) return fd;
  // after a chroot without a mount namespace the kernel tells paths from our root
  fd = OpenBelow(-1, m.path);
  if (fd && !fstat(fd.get(), &st) && DeviceOf(st) == m.device && st.st_ino == m.inode) return fd;
  return UniqueFd();
}

}  // namespace

std::string IdentityOf(uint32_t pid, const Mapping& m) {
  std::string link;
  struct stat st;
  bool found = StatMapFile(pid, m, &link, &st);
  if (!found) {
    const UniqueFd fd = OpenByPath(pid, m);
    found = fd && !fstat(fd.get(), &st);
  }
  char identity[128];
  if (found)
    snprintf(identity, sizeof(identity), "%llx:%llx:%lld.%ld", static_cast<unsigned long long>(st.st_dev),
             static_cast<unsigned long long>(st.st_ino), static_cast<long long>(st.st_ctim.tv_sec), st.st_ctim.tv_nsec);
  else
    snprintf(identity, sizeof(identity), "maps:%llx:%llx", static_cast<unsigned long long>(m.device),
             static_cast<unsigned long long>(m.inode));
  return identity;
}

bool HasChanged(const std::string& before, const std::string& now) {
  const size_t time = before.rfind(':');
  return before != now && time != std::string::npos && !before.compare(0, time + 1, now, 0, now.rfind(':') + 1);
}

bool IsProgram(uint32_t pid, const Mapping& m) {
  const UniqueFd fd = OpenMapped(pid, m);
  char magic[SELFMAG];
  return !fd || (ReadAt(fd.get(), magic, sizeof(magic), 0) && !memcmp(magic, ELFMAG, sizeof(magic)));
}

UniqueFd OpenMapped(uint32_t pid, const Mapping& m) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  std::string link;
  struct stat st;
  // the mapping itself first: the path may by now lead to another file, or to none
  if (StatMapFile(pid, m, &link, &st) && S_ISREG(st.st_mode)) {
    UniqueFd fd(open(link.c_str(), kFlags));
    // the addresses may have changed hands in between
    if (fd && !fstat(fd.get(), &st) && IsOf("/proc/self/fd/" + std::to_string(fd.get()), st, m)) return fd;
  }
  return OpenByPath(pid, m);
}

}  // namespace lowflame
