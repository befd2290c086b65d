// Drives the symbolizer for tests, one JSON string a line:
//   lowflame-symbols --pid PID ADDRESS...     names of user addresses (hex); waits for a line on stdin between locating
//                                             and naming, so that a test can end the process in between
//   lowflame-symbols --kernel ADDRESS...      names of kernel addresses
//   lowflame-symbols --demangle NAME...
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "symbols.h"

namespace {

void PrintJson(const std::string& text) {
  putchar('"');
  for (char c : text) {
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (static_cast<unsigned char>(c) < 0x20)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  puts("\"");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (!strcmp(argv[1], "--demangle")) {
    for (int i = 2; i < argc; i++) PrintJson(lowflame::Demangle(argv[i]));
    return 0;
  }
  auto symbolizer = lowflame::Symbolizer::Create();
  bool user = !strcmp(argv[1], "--pid");
  uint32_t pid = user ? static_cast<uint32_t>(atoi(argv[2])) : 0;
  std::vector<lowflame::Location> locations;
  for (int i = user ? 3 : 2; i < argc; i++) {
    uint64_t address = strtoull(argv[i], nullptr, 16);
    locations.push_back(user ? symbolizer->LocateUser(pid, 1, address) : symbolizer->LocateKernel(address));
  }
  if (user) {
    puts("\"located\"");
    fflush(stdout);
    char line[8];
    if (!fgets(line, sizeof(line), stdin)) return 1;
  }
  for (const auto& location : locations) PrintJson(symbolizer->Name(location, pid));
  return 0;
}
