// The lines of /proc/kallsyms.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lowflame {

struct KallsymsLine {
  uint64_t address;
  char type;
  const char* name;
  const char* module;  // nullptr for the kernel proper, whose symbols come first

  bool is_text() const { return type == 't' || type == 'T' || type == 'w' || type == 'W'; }
};

// Calls `each` with each line, until it gives false. All of it takes the kernel about 100 ms.
template <class Each>
void ReadKallsyms(Each each) {
  FILE* f = fopen("/proc/kallsyms", "re");
  if (!f) return;
  char text[1024];
  while (fgets(text, sizeof(text), f)) {
    char* end;
    KallsymsLine line{};
    line.address = strtoull(text, &end, 16);
    if (*end != ' ' || !end[1] || end[2] != ' ') continue;
    line.type = end[1];
    char* name = end + 3;
    char* stop = name + strcspn(name, "\t\n ");
    char after = *stop;
    *stop = 0;
    line.name = name;
    if (after == '\t' || after == ' ') {
      char* open = strchr(stop + 1, '[');
      char* close = open ? strchr(open, ']') : nullptr;
      if (close) {
        *close = 0;
        line.module = open + 1;
      }
    }
    if (!each(line)) break;
  }
  fclose(f);
}

}  // namespace lowflame
