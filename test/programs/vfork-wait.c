// Waits uninterruptibly (D state) in vfork for a child that sleeps: a wait that begins when the test says so.
//
//   vfork-wait [--ms 2000] [--hold]
#include <sys/wait.h>

#include "program.h"

int main(int argc, char** argv) {
  struct timespec t = to_timespec(option(argc, argv, "--ms", 2000) * NS_PER_MS);
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  pid_t child = vfork();
  if (child == 0) {
    syscall(SYS_nanosleep, &t, NULL);
    _exit(0);
  }
  if (child < 0 || waitpid(child, NULL, 0) != child) abort();
  printf("{\"event\":\"result\",\"waitedNs\":%llu}\n", (unsigned long long)(monotonic_ns() - from));
  return 0;
}
