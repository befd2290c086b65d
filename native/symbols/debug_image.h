// The DWARF sections of a file, copied into memory as an ELF file of their own, for libdw to read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace lowflame {

// Bytes of DWARF, unpacked, that are read of one file. Those of programs of a few hundred thousand lines fit; a
// browser's (gigabytes) do not.
constexpr uint64_t kMaxDebugBytes = 128ull << 20;

// Bytes of one section, in the image.
struct DebugBytes {
  const unsigned char* at = nullptr;
  size_t size = 0;
};

// Why a copy and not the file itself: libdw would map it (a file that is cut short would end us with SIGBUS), unpack
// compressed sections to whatever they claim, and follow the names of further files (.gnu_debugaltlink, which may lead
// out of the root of its process, or to a FIFO). Of the copy it sees the nine sections that lines and inlined functions
// need, plain, and of the size that was checked.
struct DebugImage {
  enum class Result {
    kNone,     // no .debug_info in it
    kRefused,  // more than kMaxDebugBytes, or it lies about itself, or it is packed otherwise than by zlib
    kRead,
  };
  // Reads `fd`; its ELF header and section table are checked first.
  Result Read(int fd);

  std::unique_ptr<char[]> bytes;
  size_t size = 0;
  // .debug_line, .debug_line_str and .debug_str in it; empty where there is none
  DebugBytes line, line_strings, strings;
};

}  // namespace lowflame
