// openat2 with RESOLVE_IN_ROOT (Linux 5.6): see rooted_open.h.
#include "rooted_open.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lowflame {
namespace {

constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

// A FIFO or a device in place of a file must not be read: it may block, or act on being read.
UniqueFd IfRegular(UniqueFd fd) {
  struct stat st;
  if (!fd || fstat(fd.get(), &st) || !S_ISREG(st.st_mode)) return UniqueFd();
  return fd;
}

UniqueFd OpenResolved(int root, const std::string& path, uint64_t resolve) {
  open_how how{};
  how.flags = kFlags;
  how.resolve = resolve;
  return IfRegular(UniqueFd(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how)))));
}

}  // namespace

UniqueFd OpenRoot(uint32_t pid) {
  return UniqueFd(open(("/proc/" + std::to_string(pid) + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

UniqueFd OpenBelow(int root, const std::string& path) {
  if (root < 0) return IfRegular(UniqueFd(open(path.c_str(), kFlags)));
  return OpenResolved(root, path, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

UniqueFd OpenWithoutLinks(int root, const std::string& path) {
  if (root < 0) return OpenResolved(AT_FDCWD, path, RESOLVE_NO_SYMLINKS);
  return OpenResolved(root, path, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

}  // namespace lowflame
