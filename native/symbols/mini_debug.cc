// Unpacks with liblzma into a file that only memory holds, so that it is read like any other: see mini_debug.h.
#include "mini_debug.h"

#include <fcntl.h>
#include <lzma.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "read_at.h"

namespace lowflame {
namespace {

constexpr uint64_t kMaxUnpacked = 64u << 20;  // libxul's is 30 MB
constexpr uint64_t kMaxMemory = 80u << 20;    // what `xz -9` needs, and 15 MiB; Fedora's need 9 MiB
constexpr size_t kPiece = 1u << 18;

struct Stream {
  lzma_stream xz = LZMA_STREAM_INIT;
  ~Stream() { lzma_end(&xz); }
};

bool WriteAll(int fd, const uint8_t* from, size_t size) {
  while (size) {
    ssize_t n = write(fd, from, size);
    if (n <= 0) return false;
    from += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

UniqueFd UnpackMiniDebugInfo(int fd, uint64_t at, uint64_t size) {
  UniqueFd out(memfd_create("lowflame-mini-debug-info", MFD_CLOEXEC));
  Stream stream;
  if (!out || lzma_stream_decoder(&stream.xz, kMaxMemory, 0) != LZMA_OK) return UniqueFd();
  std::vector<uint8_t> packed(kPiece), plain(kPiece);
  uint64_t written = 0;
  for (lzma_ret state = LZMA_OK; state == LZMA_OK;) {
    if (!stream.xz.avail_in && size) {
      size_t piece = static_cast<size_t>(std::min<uint64_t>(size, packed.size()));
      if (!ReadAt(fd, packed.data(), piece, at)) return UniqueFd();
      stream.xz.next_in = packed.data();
      stream.xz.avail_in = piece;
      at += piece;
      size -= piece;
    }
    stream.xz.next_out = plain.data();
    stream.xz.avail_out = plain.size();
    // without progress twice it says LZMA_BUF_ERROR: a stream that is cut short ends here too
    state = lzma_code(&stream.xz, size ? LZMA_RUN : LZMA_FINISH);
    if (state != LZMA_OK && state != LZMA_STREAM_END) return UniqueFd();
    size_t made = plain.size() - stream.xz.avail_out;
    written += made;
    if (written > kMaxUnpacked || !WriteAll(out.get(), plain.data(), made)) return UniqueFd();
  }
  return out;
}

void KeepOnly(int unpacked, uint64_t at, uint64_t size) {
  struct stat st;
  if (fstat(unpacked, &st)) return;
  constexpr int kFree = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  auto end = static_cast<off_t>(at + size);
  // where it fails the memory stays in use, no more
  if (at && fallocate(unpacked, kFree, 0, static_cast<off_t>(at))) return;
  if (end < st.st_size && fallocate(unpacked, kFree, end, st.st_size - end)) return;
}

}  // namespace lowflame
