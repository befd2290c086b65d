// Where GDB's manual, section "Debugging Information in Separate Files", says that they lie: see debug_files.h.
#include "debug_files.h"

#include <unistd.h>
#include <zlib.h>

#include <vector>

#include "elf_header.h"
#include "file_owner.h"
#include "rooted_open.h"

namespace lowflame {
namespace {

constexpr off_t kMaxBytesForCrc = 1ll << 30;  // about a second of the symbol thread

// CRC of the whole file as .gnu_debuglink wants it (the polynomial of zlib's).
bool FileCrcIs(int fd, uint32_t wanted) {
  std::vector<unsigned char> buffer(1 << 18);
  uLong crc = crc32(0, nullptr, 0);
  off_t at = 0;
  ssize_t n;
  while ((n = pread(fd, buffer.data(), buffer.size(), at)) > 0) {
    crc = crc32(crc, buffer.data(), static_cast<uInt>(n));
    at += n;
    if (at > kMaxBytesForCrc) return false;
  }
  return n == 0 && crc == wanted;
}

}  // namespace

UniqueFd FindDebugFile(int program, int root, const std::string& path, const DebugLink& link,
                       const std::function<bool(int fd)>& use) {
  const std::string build_id = ReadBuildId(program);
  std::vector<int> roots;
  if (root >= 0) roots.push_back(root);
  roots.push_back(-1);
  if (build_id.size() > 2) {
    std::string place = "/usr/lib/debug/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) + ".debug";
    for (int r : roots) {
      UniqueFd fd = OpenBelow(r, place);
      if (fd && MaySpeakFor(fd.get(), program) && ReadBuildId(fd.get()) == build_id && use(fd.get())) return fd;
    }
  }
  // a name with a slash would lead anywhere
  size_t slash = path.rfind('/');
  if (link.name.empty() || link.name.find('/') != std::string::npos || slash == std::string::npos) return UniqueFd();
  std::string dir = path.substr(0, slash + 1);
  for (int r : roots) {
    for (const std::string& place :
         {dir + link.name, dir + ".debug/" + link.name, "/usr/lib/debug" + dir + link.name}) {
      UniqueFd fd = OpenBelow(r, place);
      if (fd && MaySpeakFor(fd.get(), program) && FileCrcIs(fd.get(), link.crc) && use(fd.get())) return fd;
    }
  }
  return UniqueFd();
}

}  // namespace lowflame
