// /proc/PID/map_files, then /proc/PID/root: see mapped_file.h.
#include "mapped_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>

#include "rooted_open.h"

namespace lowflame {
namespace {

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

}  // namespace

std::string IdentityOf(uint32_t pid, const Mapping& m) {
  struct stat st;
  char identity[128];
  if (!stat(MapFile(pid, m).c_str(), &st))
    snprintf(identity, sizeof(identity), "%llx:%llx:%lld.%ld", static_cast<unsigned long long>(st.st_dev),
             static_cast<unsigned long long>(st.st_ino), static_cast<long long>(st.st_mtim.tv_sec), st.st_mtim.tv_nsec);
  else
    snprintf(identity, sizeof(identity), "maps:%llx:%llx", static_cast<unsigned long long>(m.device),
             static_cast<unsigned long long>(m.inode));
  return identity;
}

UniqueFd OpenMapped(uint32_t pid, const Mapping& m) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  struct stat st;
  const std::string link = MapFile(pid, m);
  // the mapping itself first: the path may by now lead to another file, or to none
  if (!stat(link.c_str(), &st) && S_ISREG(st.st_mode)) {
    UniqueFd fd(open(link.c_str(), kFlags));
    if (fd) return fd;
  }
  if (m.deleted) return UniqueFd();
  UniqueFd root = OpenRoot(pid);
  UniqueFd fd = root ? OpenBelow(root.get(), m.path) : UniqueFd();
  if (fd && !fstat(fd.get(), &st) && MayBeTheSame(st, m)) return fd;
  // after a chroot without a mount namespace the kernel tells paths from our root
  fd = OpenBelow(-1, m.path);
  if (fd && !fstat(fd.get(), &st) && DeviceOf(st) == m.device && st.st_ino == m.inode) return fd;
  return UniqueFd();
}

}  // namespace lowflame
