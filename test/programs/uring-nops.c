// Requests of io_uring, which have no system call each: so many that do nothing, submitted one by one.
//
//   uring-nops [--count 23] [--hold]
#include <linux/io_uring.h>
#include <sys/mman.h>

#include "program.h"

int main(int argc, char** argv) {
  uint64_t count = option(argc, argv, "--count", 23), done = 0;
  struct io_uring_params p = {};
  int ring = (int)syscall(SYS_io_uring_setup, 8, &p);
  if (ring < 0) {
    perror("io_uring_setup");
    return 1;
  }
  size_t bytes = p.sq_off.array + p.sq_entries * sizeof(unsigned);
  char* sq = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
  struct io_uring_sqe* sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || sqes == MAP_FAILED) return 1;
  ready(argc, argv);
  for (uint64_t i = 0; i < count; i++) {
    unsigned* tail = (unsigned*)(sq + p.sq_off.tail);
    unsigned at = *tail & (p.sq_entries - 1);
    memset(&sqes[at], 0, sizeof(sqes[at]));
    sqes[at].opcode = IORING_OP_NOP;
    sqes[at].flags = IOSQE_CQE_SKIP_SUCCESS;
    ((unsigned*)(sq + p.sq_off.array))[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    done += syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0) == 1;
  }
  printf("{\"event\":\"result\",\"requests\":%llu}\n", (unsigned long long)done);
  return 0;
}
