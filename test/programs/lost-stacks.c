// Stacks that cannot be told in full, each kind for a reason of its own.
//
//   lost-stacks --mode 0   deep: burns --ms of CPU, then sleeps 100 times, both 200 calls deep
//               --mode 1   exits: --repeat child processes touch 256 MB and exit; while the kernel takes the memory
//                          away a thread has no user stack any more
//               --mode 2   no program: burns --ms in code that lies in a mapped file that is no ELF file (x86-64)
//               --mode 3   many: --count sleeps of four threads, 100 calls deep, each by a random path of two functions
//               [--hold]
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "program.h"

#define DEPTH 200
#define PATH_DEPTH 100
#define EXIT_MB 256

static uint64_t burn_ns;

static void sleep_briefly(uint64_t ns) {
  struct timespec t = to_timespec(ns);
  nanosleep(&t, NULL);
}

NOINLINE void at_the_bottom(void) {
  uint64_t from = thread_cpu_ns(), seed = from;
  while (thread_cpu_ns() - from < burn_ns) seed = busy_work(seed);
  __asm__ volatile("" ::"r"(seed));
  for (int i = 0; i < 100; i++) sleep_briefly(NS_PER_MS);
}
NOINLINE void go_deep(int left) {
  if (left)
    go_deep(left - 1);
  else
    at_the_bottom();
  __asm__ volatile("");  // no tail call: the frame stays
}

static int exit_with_memory(uint64_t repeat) {
  for (uint64_t i = 0; i < repeat; i++) {
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      char* memory = mmap(NULL, EXIT_MB << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) _exit(1);
      madvise(memory, EXIT_MB << 20, MADV_NOHUGEPAGE);  // page by page takes longer to free
      for (long at = 0; at < EXIT_MB << 20; at += 4096) memory[at] = 1;
      _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) return 1;
  }
  return 0;
}

static int burn_in_no_program(void) {
  // mov %rdi,%rcx; 1: dec %rcx; jnz 1b; ret
  static const unsigned char code[] = {0x48, 0x89, 0xf9, 0x48, 0xff, 0xc9, 0x75, 0xfb, 0xc3};
  char path[] = "/tmp/lowflame-no-elf-XXXXXX";
  int fd = mkstemp(path);
  if (fd < 0 || write(fd, code, sizeof code) != sizeof code) return 1;
  void* mapped = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  unlink(path);
  if (mapped == MAP_FAILED) return 1;
  void (*count_down)(uint64_t) = (void (*)(uint64_t))mapped;
  uint64_t from = thread_cpu_ns();
  while (thread_cpu_ns() - from < burn_ns) count_down(1000000);
  return 0;
}

NOINLINE void path_a(uint64_t* seed, int left);
NOINLINE void path_b(uint64_t* seed, int left);
static inline __attribute__((always_inline)) void choose(uint64_t* seed, int left) {
  if (!left)
    sleep_briefly(50000);  // long enough that it has not passed before the thread is asleep
  else if (next_random(seed) >> 40 & 1)
    path_a(seed, left - 1);
  else
    path_b(seed, left - 1);
  __asm__ volatile("");
}
NOINLINE void path_a(uint64_t* seed, int left) {
  choose(seed, left);
}
NOINLINE void path_b(uint64_t* seed, int left) {
  choose(seed, left);
}

static uint64_t sleeps_each;
static void* many_paths(void* arg) {
  uint64_t seed = 88172645463325252ULL + (uint64_t)(uintptr_t)arg;
  prctl(PR_SET_TIMERSLACK, 1);
  for (uint64_t i = 0; i < sleeps_each; i++) choose(&seed, PATH_DEPTH);
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t mode = option(argc, argv, "--mode", 0), repeat = option(argc, argv, "--repeat", 4);
  burn_ns = option(argc, argv, "--ms", 300) * NS_PER_MS;
  sleeps_each = option(argc, argv, "--count", 100000) / 4;
  if (mode > 3) {
    fprintf(stderr, "--mode wants 0 to 3\n");
    return 2;
  }
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  if (mode == 0) {
    go_deep(DEPTH);
  } else if (mode == 1) {
    if (exit_with_memory(repeat)) return 1;
  } else if (mode == 2) {
    if (burn_in_no_program()) return 1;
  } else {
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
      if (pthread_create(&threads[i], NULL, many_paths, (void*)i)) return 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  }
  printf("{\"event\":\"result\",\"mode\":%llu,\"wallNs\":%llu}\n", (unsigned long long)mode,
         (unsigned long long)(monotonic_ns() - from));
  return 0;
}
