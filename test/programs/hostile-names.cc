// Threads and functions with names that break careless tools: markup, quotes, a line break, an escape sequence, bytes
// that are not UTF-8, no name at all; a symbol with markup and quotes, one of 4,000 characters, and a C++ template
// whose name is over 4,000 characters long once it is demangled. Each thread burns CPU in one of the functions.
//
//   hostile-names [--ms 1000] [--hold]
#include <pthread.h>
#include <sys/prctl.h>

#include "program.h"

#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X1000 X100 X100 X100 X100 X100 X100 X100 X100 X100 X100

extern "C" {
// The inner quotes reach the assembler, which then takes any character in a symbol.
void burn_markup(uint64_t) __asm__("\"<script>alert('symbol')</script>&amp;;\"");
void burn_long(uint64_t) __asm__(
    "burn_long_" X1000 X1000 X1000 X100 X100 X100 X100 X100 X100 X100 X100 X100 X10 X10 X10 X10 X10 X10 X10 X10 X10);
}

#define BURN(ns)                             \
  uint64_t from = thread_cpu_ns(), s = from; \
  while (thread_cpu_ns() - from < (ns)) {    \
    s = busy_work(s);                        \
  }                                          \
  __asm__ volatile("" ::"r"(s))

NOINLINE void burn_markup(uint64_t ns) {
  BURN(ns);
}
NOINLINE void burn_long(uint64_t ns) {
  BURN(ns);
}

// Each level doubles the demangled name, while the symbol in the file stays short by back-references.
template <class Left, class Right>
struct Pair {};
template <int Depth>
struct Doubled {
  using type = Pair<typename Doubled<Depth - 1>::type, typename Doubled<Depth - 1>::type>;
};
template <>
struct Doubled<0> {
  using type = Pair<char, unsigned long>;
};
template <class T>
NOINLINE void burn_template(uint64_t ns) {
  BURN(ns);
}

struct hostile {
  const char* comm;
  void (*burn)(uint64_t);
  uint64_t ns;
  int tid;
  pthread_t thread;
};

static void* worker(void* arg) {
  auto* h = static_cast<hostile*>(arg);
  prctl(PR_SET_NAME, h->comm);
  h->tid = thread_id();
  h->burn(h->ns);
  return nullptr;
}

int main(int argc, char** argv) {
  uint64_t ns = option(argc, argv, "--ms", 1000) * NS_PER_MS;
  auto* long_template = burn_template<Doubled<8>::type>;
  hostile all[] = {
      {"<script>x</scri", burn_markup, ns, 0, 0},         {"\"quo'ted&amp;\\", burn_long, ns, 0, 0},
      {"\xff\xfe\x80 not utf8", long_template, ns, 0, 0}, {"two\nlines;semi", burn_markup, ns, 0, 0},
      {"\x1b[31mred\x1b[0m", burn_long, ns, 0, 0},        {"", long_template, ns, 0, 0},
  };
  ready(argc, argv);
  for (auto& h : all)
    if (pthread_create(&h.thread, nullptr, worker, &h)) return 1;
  for (auto& h : all) pthread_join(h.thread, nullptr);
  // In hex: these bytes cannot go into JSON as they are, and this is the point of them.
  printf("{\"event\":\"result\",\"threads\":[");
  for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
    printf("%s{\"tid\":%d,\"cpuNs\":%llu,\"commHex\":\"", i ? "," : "", all[i].tid, (unsigned long long)all[i].ns);
    for (const char* c = all[i].comm; *c; c++) printf("%02x", static_cast<unsigned char>(*c));
    printf("\"}");
  }
  printf("]}\n");
  return 0;
}
