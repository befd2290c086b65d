// A kernel mutex held for a known time: a thread writes to a pipe from a page that userfaultfd(2) withholds, so it
// sleeps with the pipe's mutex held; others write to the same pipe meanwhile and wait. Each hold makes --waiters waits
// that last as long as it, less what the waiters need to start. Prints how many waits there were and how long they
// held.
//
// With --inode it is a file in memory instead of a pipe, and the lock the rwsem of its inode, held for writing. With
// --until-told a hold ends at a line on standard input instead of after --ms.
//
//   held-mutex [--holds 13] [--ms 20] [--waiters 5] [--inode] [--until-told] [--hold]
//   --holds 1 --ms 60000 = still held when a test ends
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "program.h"

#define PAGE 4096

static int pipe_fds[2], fault_fd, in_file, until_told;
static char* pages;
static uint64_t holds, length_ns, waiters, held_ns;
static sem_t go, done;

NOINLINE void* hold_the_mutex(void* arg) {
  (void)arg;
  for (uint64_t i = 0; i < holds; i++) {
    if (write(pipe_fds[1], pages + i * PAGE, PAGE) != PAGE) abort();
    for (uint64_t w = 0; w < waiters; w++) sem_wait(&done);
    /* emptied by the same thread: a reader would wait for the mutex, too */
    for (uint64_t left = in_file ? 0 : PAGE + waiters; left > 0;) {
      static char block[16 * PAGE];
      ssize_t n = read(pipe_fds[0], block, sizeof block);
      if (n <= 0) abort();
      left -= (uint64_t)n;
    }
    /* until the waiters are ready for the next */
    struct timespec t = to_timespec(10 * NS_PER_MS);
    nanosleep(&t, NULL);
  }
  return NULL;
}
NOINLINE void* wait_for_the_mutex(void* arg) {
  char c = 1;
  (void)arg;
  for (uint64_t i = 0; i < holds; i++) {
    sem_wait(&go);
    if (write(pipe_fds[1], &c, 1) != 1) abort();
    sem_post(&done);
    /* each hold wants each waiter once */
    struct timespec t = to_timespec(5 * NS_PER_MS);
    nanosleep(&t, NULL);
  }
  return NULL;
}
/* Answers each fault after the length of a hold, once the waiters are under way. */
static void* answer_faults(void* arg) {
  static char zero[PAGE] __attribute__((aligned(PAGE)));
  (void)arg;
  for (uint64_t i = 0; i < holds; i++) {
    struct uffd_msg message;
    if (read(fault_fd, &message, sizeof message) != sizeof message) abort();
    uint64_t from = monotonic_ns();
    for (uint64_t w = 0; w < waiters; w++) sem_post(&go);
    struct timespec t = to_timespec(length_ns);
    if (until_told)
      wait_for_line();
    else
      nanosleep(&t, NULL);
    held_ns += monotonic_ns() - from;
    struct uffdio_copy copy = {
        .dst = message.arg.pagefault.address & ~(uint64_t)(PAGE - 1), .src = (uint64_t)zero, .len = PAGE};
    if (ioctl(fault_fd, UFFDIO_COPY, &copy)) abort();
  }
  return NULL;
}

int main(int argc, char** argv) {
  holds = option(argc, argv, "--holds", 13);
  length_ns = option(argc, argv, "--ms", 20) * NS_PER_MS;
  waiters = option(argc, argv, "--waiters", 5);
  pthread_t threads[1024], holder, handler;
  until_told = flag(argc, argv, "--until-told");
  in_file = flag(argc, argv, "--inode");
  if (waiters > 1000 || (!in_file && pipe(pipe_fds))) return 2;
  if (in_file && (pipe_fds[1] = memfd_create("held", MFD_CLOEXEC)) < 0) return 2;
  pages = mmap(NULL, holds * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API};
  struct uffdio_register range = {.range = {(uint64_t)pages, holds * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (pages == MAP_FAILED || fault_fd < 0 || ioctl(fault_fd, UFFDIO_API, &api) ||
      ioctl(fault_fd, UFFDIO_REGISTER, &range)) {
    perror("userfaultfd");
    return 1;
  }
  sem_init(&go, 0, 0);
  sem_init(&done, 0, 0);
  ready(argc, argv);
  pthread_create(&handler, NULL, answer_faults, NULL);
  for (uint64_t i = 0; i < waiters; i++) pthread_create(&threads[i], NULL, wait_for_the_mutex, NULL);
  pthread_create(&holder, NULL, hold_the_mutex, NULL);
  pthread_join(holder, NULL);
  for (uint64_t i = 0; i < waiters; i++) pthread_join(threads[i], NULL);
  pthread_join(handler, NULL);
  printf("{\"event\":\"result\",\"waits\":%llu,\"heldNs\":%llu,\"lengthNs\":%llu}\n",
         (unsigned long long)(holds * waiters), (unsigned long long)held_ns, (unsigned long long)length_ns);
  return 0;
}
