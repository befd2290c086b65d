// fstat and fstatfs: see file_owner.h.
#include "file_owner.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdint>

namespace lowflame {
namespace {

constexpr uint32_t kOverflowUid = 65534;  // what the kernel shows of users who have no number in our namespace

bool IsFuse(int fd) {
  struct statfs fs;
  return fstatfs(fd, &fs) || static_cast<uint32_t>(fs.f_type) == FUSE_SUPER_MAGIC;
}

}  // namespace

std::string ContentOf(int fd, const std::string& build_id) {
  struct stat st;
  if (build_id.empty() || fstat(fd, &st) || st.st_mode & (S_IWGRP | S_IWOTH) || st.st_uid == kOverflowUid || IsFuse(fd))
    return "";
  return build_id + ':' + std::to_string(st.st_size) + ':' + std::to_string(st.st_uid);
}

bool MaySpeakFor(int debug_file, int program) {
  struct stat debug, own;
  if (fstat(debug_file, &debug) || fstat(program, &own)) return false;
  if (debug.st_dev != own.st_dev && IsFuse(debug_file)) return false;
  return debug.st_uid == 0 || debug.st_uid == own.st_uid;
}

}  // namespace lowflame
