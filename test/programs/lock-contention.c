// Threads that fight for one kernel lock for a known time, by doing what programs do:
//   --mode 0  pipe: writers of one pipe (the pipe's mutex)
//   --mode 1  mmap: some map and unmap memory, others fault pages in (the process's mmap_lock, a rwsem)
//   --mode 2  files: all duplicate and close a descriptor (the file table's spin lock)
//   --mode 3  network: all set the flags of an interface, in a network namespace of their own (rtnl_mutex; needs root)
//   --mode 4  signals: all change their signal mask (the spin lock siglock)
//   --mode 5  threads: all start a thread that ends at once (tasklist_lock, siglock; cgroup_threadgroup_rwsem where
//             somebody moves processes between cgroups meanwhile)
// Prints how many operations they did.
//
//   lock-contention [--mode 0] [--threads 4] [--ms 2000] [--bytes 4096] [--hold]      bytes: of one write to the pipe
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "program.h"

static atomic_ullong operations;
static uint64_t until_ns;
static int pipe_fds[2];
static char* shared_pages;
static size_t write_bytes;

#define SHARED_PAGES 512
#define PAGE 4096

NOINLINE void* write_to_pipe(void* arg) {
  static char block[16 * PAGE];
  (void)arg;
  while (monotonic_ns() < until_ns) {
    if (write(pipe_fds[1], block, write_bytes) != (ssize_t)write_bytes) abort();
    operations++;
  }
  return NULL;
}
NOINLINE void* read_from_pipe(void* arg) {
  static char block[16 * PAGE];
  (void)arg;
  while (read(pipe_fds[0], block, sizeof block) > 0) operations++;
  return NULL;
}
NOINLINE void* map_and_unmap(void* arg) {
  (void)arg;
  while (monotonic_ns() < until_ns) {
    char* p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) abort();
    munmap(p, 64 * PAGE);
    operations++;
  }
  return NULL;
}
NOINLINE void* fault_pages(void* arg) {
  (void)arg;
  while (monotonic_ns() < until_ns) {
    for (int i = 0; i < SHARED_PAGES; i++) *(volatile char*)(shared_pages + i * PAGE) = 1;
    madvise(shared_pages, SHARED_PAGES * PAGE, MADV_DONTNEED);
    operations += SHARED_PAGES;
  }
  return NULL;
}
NOINLINE void* duplicate_and_close(void* arg) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  (void)arg;
  if (fd < 0) abort();
  while (monotonic_ns() < until_ns) {
    int copy = dup(fd);
    if (copy < 0) abort();
    close(copy);
    operations++;
  }
  close(fd);
  return NULL;
}
NOINLINE void* set_interface_flags(void* arg) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  (void)arg;
  if (fd < 0) abort();
  while (monotonic_ns() < until_ns) {
    request.ifr_flags = IFF_LOOPBACK; /* down, as it is: no change, but the lock is taken */
    if (ioctl(fd, SIOCSIFFLAGS, &request)) abort();
    operations++;
  }
  close(fd);
  return NULL;
}
NOINLINE void* change_signal_mask(void* arg) {
  sigset_t set;
  (void)arg;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  while (monotonic_ns() < until_ns) {
    if (pthread_sigmask(operations % 2 ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL)) abort();
    operations++;
  }
  return NULL;
}
static void* end_at_once(void* arg) {
  return arg;
}
NOINLINE void* start_threads(void* arg) {
  (void)arg;
  while (monotonic_ns() < until_ns) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_at_once, NULL)) abort();
    pthread_join(thread, NULL);
    operations++;
  }
  return NULL;
}

int main(int argc, char** argv) {
  uint64_t mode = option(argc, argv, "--mode", 0), threads = option(argc, argv, "--threads", 4);
  uint64_t ms = option(argc, argv, "--ms", 2000);
  pthread_t ids[64], reader;
  write_bytes = option(argc, argv, "--bytes", PAGE);
  if (write_bytes < 1 || write_bytes > 16 * PAGE) return 2;
  if (mode > 5 || threads < 2 || threads > 64) return 2;
  if (pipe(pipe_fds)) return 1;
  shared_pages = mmap(NULL, SHARED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (shared_pages == MAP_FAILED) return 1;
  if (mode == 3 && unshare(CLONE_NEWNET)) {
    perror("unshare");
    return 1;
  }
  ready(argc, argv);
  uint64_t from = monotonic_ns();
  until_ns = from + ms * NS_PER_MS;
  if (mode == 0 && pthread_create(&reader, NULL, read_from_pipe, NULL)) return 1;
  for (uint64_t i = 0; i < threads; i++) {
    void* (*work)(void*) = mode == 0   ? write_to_pipe
                           : mode == 2 ? duplicate_and_close
                           : mode == 3 ? set_interface_flags
                           : mode == 4 ? change_signal_mask
                           : mode == 5 ? start_threads
                           : i % 2     ? map_and_unmap
                                       : fault_pages;
    if (pthread_create(&ids[i], NULL, work, NULL)) return 1;
  }
  for (uint64_t i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  close(pipe_fds[1]);
  if (mode == 0) pthread_join(reader, NULL);
  printf("{\"event\":\"result\",\"operations\":%llu,\"wallNs\":%llu,\"threads\":%llu}\n",
         (unsigned long long)operations, (unsigned long long)(monotonic_ns() - from), (unsigned long long)threads);
  return 0;
}
