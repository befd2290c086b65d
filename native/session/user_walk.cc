// Frame-pointer walk through process_vm_readv: see user_walk.h.
#include "user_walk.h"

#include <sys/uio.h>

namespace lowflame {

std::vector<uint64_t> WalkUserStack(pid_t pid, uint64_t ip, uint64_t sp, uint64_t bp, size_t max) {
  constexpr uint64_t kMaxStack = 8u << 20;
  std::vector<uint64_t> frames;
  if (!ip) return frames;
  frames.push_back(ip);
  uint64_t top = sp;
  while (frames.size() < max && bp >= top && bp < sp + kMaxStack && bp % 8 == 0) {
    uint64_t pair[2] = {0, 0};  // saved rbp, return address
    iovec local{pair, sizeof(pair)};
    iovec remote{reinterpret_cast<void*>(bp), sizeof(pair)};
    if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(sizeof(pair))) break;
    if (!pair[1]) break;
    frames.push_back(pair[1]);
    top = bp + 16;
    bp = pair[0];
  }
  return frames;
}

}  // namespace lowflame
