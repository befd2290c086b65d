// Tells its own stack for walkers to be tried on, from the bottom of several kinds of stack: registers, stack memory
// and executable mappings, and where libgcc's unwinder says it goes on. One JSON object a line.
#define _GNU_SOURCE
#include <alloca.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define MOST 200
#define KEPT 65536

static volatile int sink;
// of the stack that a signal handler with a stack of its own interrupted
static uint64_t interrupted_from;

static uint64_t mapping_end(uint64_t address) {
  char line[1024];
  FILE* f = fopen("/proc/self/maps", "r");
  uint64_t found = 0;
  while (f && !found && fgets(line, sizeof(line), f)) {
    unsigned long begin, end;
    if (sscanf(line, "%lx-%lx", &begin, &end) == 2 && begin <= address && address < end) found = end;
  }
  if (f) fclose(f);
  return found;
}

static void print_mappings(void) {
  char line[1024];
  FILE* f = fopen("/proc/self/maps", "r");
  int n = 0;
  printf("\"mappings\":[");
  while (f && fgets(line, sizeof(line), f)) {
    unsigned long begin, end, offset;
    char flags[8], path[512] = "";
    if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %511s", &begin, &end, flags, &offset, path) < 4) continue;
    if (flags[2] != 'x') continue;
    printf("%s{\"begin\":\"%lx\",\"end\":\"%lx\",\"offset\":\"%lx\",\"path\":\"%s\"}", n++ ? "," : "", begin, end,
           offset, path);
  }
  if (f) fclose(f);
  printf("]");
}

static void print_memory(uint64_t from) {
  uint64_t bytes = mapping_end(from) - from;
  printf("{\"at\":\"%lx\",\"bytes\":\"", (unsigned long)from);
  for (uint64_t i = 0; i < bytes && i < KEPT; i++) printf("%02x", ((const uint8_t*)from)[i]);
  printf("\"}");
}

__attribute__((noinline)) static void tell(const char* name) {
  uint64_t ip, sp, bp;
  void* frames[MOST];
  __asm__ volatile("lea 0(%%rip), %0\n mov %%rsp, %1\n mov %%rbp, %2" : "=&r"(ip), "=&r"(sp), "=&r"(bp));
  int n = backtrace(frames, MOST);
  printf("{\"name\":\"%s\",\"ip\":\"%lx\",\"sp\":\"%lx\",\"bp\":\"%lx\",", name, ip, sp, bp);
  print_mappings();
  printf(",\"callers\":[");
  for (int i = 1; i < n; i++) printf("%s\"%lx\"", i > 1 ? "," : "", (unsigned long)frames[i]);
  printf("],\"stacks\":[");
  print_memory(sp);
  if (interrupted_from) {
    printf(",");
    print_memory(interrupted_from);
  }
  printf("]}\n");
  fflush(stdout);
}

__attribute__((noinline)) static void down(int depth, const char* name) {
  volatile char room[40];
  room[0] = (char)depth;
  if (depth)
    down(depth - 1, name);
  else
    tell(name);
  sink += room[0];
}

__attribute__((noinline)) static void with_alloca(int n) {
  volatile char* room = alloca((size_t)n);
  room[0] = 1;
  down(2, "alloca");
  sink += room[0];
}

static int compare(const void* a, const void* b) {
  static int once;
  if (!once++) down(3, "callback");
  return *(const int*)a - *(const int*)b;
}

static void on_signal(int signal) {
  (void)signal;
  down(1, "signal");
}

// its first instruction is interrupted: one byte before is not its own
__attribute__((naked, noinline)) static void faults(void) {
  __asm__("ud2\n ret");
}

static void step_over(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  down(1, "handler with a stack of its own");
  ((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

__attribute__((noinline)) static void interrupted(void) {
  static char room[262144];
  stack_t other = {.ss_sp = room, .ss_size = sizeof(room)};
  struct sigaction action = {.sa_sigaction = step_over, .sa_flags = SA_ONSTACK | SA_SIGINFO};
  sigaltstack(&other, NULL);
  sigaction(SIGILL, &action, NULL);
  interrupted_from = ((uint64_t)&other & ~7ULL) - 512;
  faults();
  interrupted_from = 0;
}

// A fiber, the first frame of which is made by makecontext; afterwards it goes on with `link`, or ends the thread.
static ucontext_t outside, fiber;
static const char* fiber_name;
static void in_fiber(void) {
  down(4, fiber_name);
  swapcontext(&fiber, &outside);
}

__attribute__((noinline)) static void in_context(const char* name, ucontext_t* link) {
  static char room[262144];
  fiber_name = name;
  getcontext(&fiber);
  fiber.uc_stack.ss_sp = room;
  fiber.uc_stack.ss_size = sizeof(room);
  fiber.uc_link = link;
  makecontext(&fiber, in_fiber, 0);
  swapcontext(&outside, &fiber);
}

static void* in_thread(void* argument) {
  down(4, "thread");
  return argument;
}

int main(void) {
  int numbers[] = {5, 3, 9, 1, 7};
  void* warm[4];
  pthread_t thread;

  backtrace(warm, 4);  // loads libgcc
  down(20, "plain");
  down(118, "deep");
  with_alloca(1000 + sink % 2);
  qsort(numbers, 5, sizeof(int), compare);
  signal(SIGUSR1, on_signal);
  raise(SIGUSR1);
  interrupted();
  in_context("fiber", NULL);
  in_context("linked fiber", &outside);
  pthread_create(&thread, NULL, in_thread, NULL);
  pthread_join(thread, NULL);
  return 0;
}
