// Takes one page fault a page: maps memory without huge pages, touches each page once in a named function, unmaps it,
// again and again. Prints the pages it touched and the minor faults that the kernel counted.
//
//   page-fault [--ms 1000] [--pages 4096] [--hold]
#include <sys/mman.h>
#include <sys/resource.h>

#include "program.h"

NOINLINE void touch_each_page(volatile char* memory, uint64_t pages) {
  for (uint64_t i = 0; i < pages; i++) memory[i * 4096] = 1;
}

static long minor_faults(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_minflt;
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 1000), pages = option(argc, argv, "--pages", 4096), touched = 0;
  ready(argc, argv);
  uint64_t from = monotonic_ns(), cpu_from = thread_cpu_ns(), in_touch = 0;
  long before = minor_faults();
  while (monotonic_ns() - from < ms * NS_PER_MS) {
    char* memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      perror("mmap");
      return 1;
    }
    madvise(memory, pages * 4096, MADV_NOHUGEPAGE);
    uint64_t t = thread_cpu_ns();
    touch_each_page(memory, pages);
    in_touch += thread_cpu_ns() - t;
    touched += pages;
    munmap(memory, pages * 4096);
  }
  printf("{\"event\":\"result\",\"pagesTouched\":%llu,\"minorFaults\":%ld,\"cpuNs\":%llu,\"touchNs\":%llu}\n",
         (unsigned long long)touched, minor_faults() - before, (unsigned long long)(thread_cpu_ns() - cpu_from),
         (unsigned long long)in_touch);
  return 0;
}
