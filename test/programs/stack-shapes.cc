// Computes at the bottom of every kind of stack that an optimizing C++ compiler makes, some 100 us each, in a thread
// and in main: for walkers to be held against one another. Built as distributions build, without frame pointers.
//
//   stack-shapes [--ms 2000] [--hold]
#include <alloca.h>
#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "program.h"

static volatile uint64_t sink;

// About 25 us; not inlined, so that each shape has a leaf that is common to all.
NOINLINE void compute() {
  uint64_t seed = sink;
  for (int i = 0; i < 20000; i++) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    __asm__ volatile("" : "+r"(seed));
  }
  sink = seed;
}
// Keeps a call from being the last thing that a function does, which would be a jump.
static inline void stay() {
  __asm__ volatile("" ::: "memory");
}

NOINLINE void in_recursion(int depth) {
  if (depth)
    in_recursion(depth - 1);
  else
    compute();
  stay();
}

NOINLINE void in_alloca(size_t bytes) {
  volatile char* room = static_cast<volatile char*>(alloca(bytes));
  room[0] = 1;
  compute();
  room[bytes - 1] = 1;
}

// A stack that is realigned, first with rbp, then with another register for the arguments on the stack.
NOINLINE void in_realigned(const double* from) {
  alignas(64) volatile double room[16];
  for (int i = 0; i < 16; i++) room[i] = from[i];
  compute();
  sink = sink + static_cast<uint64_t>(room[3]);
}
NOINLINE void in_realigned_alloca(const double* from, size_t bytes) {
  alignas(64) volatile double room[16];
  volatile char* more = static_cast<volatile char*>(alloca(bytes));
  for (int i = 0; i < 16; i++) room[i] = from[i];
  more[bytes - 1] = 1;
  compute();
  sink = sink + static_cast<uint64_t>(room[3]);
}

NOINLINE void in_large_frame() {
  char room[20000];
  __asm__ volatile("" ::"r"(room) : "memory");
  compute();
  __asm__ volatile("" ::"r"(room) : "memory");
}

NOINLINE void in_many_arguments(long a, long b, long c, long d, long e, long f, long g, long h, long i) {
  compute();
  sink = sink + static_cast<uint64_t>(a + b + c + d + e + f + g + h + i);
}

struct Shape {
  virtual ~Shape() = default;
  virtual void draw(int depth) = 0;
};
struct Leaf : Shape {
  void draw(int) override {
    compute();
    stay();
  }
};
struct Group : Shape {
  std::unique_ptr<Shape> inner;
  void draw(int depth) override {
    inner->draw(depth + 1);
    stay();
  }
};
NOINLINE void in_virtual_calls() {
  std::unique_ptr<Shape> shape = std::make_unique<Leaf>();
  for (int i = 0; i < 5; i++) {
    auto group = std::make_unique<Group>();
    group->inner = std::move(shape);
    shape = std::move(group);
  }
  shape->draw(0);
}

NOINLINE void in_function_object(const std::function<void(int)>& call) {
  call(1);
  stay();
}

static int compare(const void* a, const void* b) {
  static thread_local int calls;
  if (++calls % 16 == 0) compute();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}
NOINLINE void in_callback_of_libc() {
  int numbers[24];
  for (int i = 0; i < 24; i++) numbers[i] = (i * 7919) % 24;
  qsort(numbers, 24, sizeof(int), compare);
}

NOINLINE void in_sort() {
  std::vector<std::string> words;
  for (int i = 0; i < 60; i++) words.push_back(std::to_string(i * 7919 % 1000) + " is a number of some length");
  std::sort(words.begin(), words.end(), [](const std::string& a, const std::string& b) { return b < a; });
  sink = sink + words[0].size();
}

NOINLINE void in_regex() {
  static const std::regex pattern("(a|b)*c(d|e)+x");
  sink = sink + std::regex_search("abababababababcdededededede", pattern);
}

NOINLINE void throws(int depth) {
  std::string held(40, 'x');  // to be destroyed on the way
  if (!depth) throw std::runtime_error("thrown");
  throws(depth - 1);
  sink = sink + held.size();
}
NOINLINE void in_exceptions() {
  for (int i = 0; i < 4; i++) {
    try {
      throws(8);
    } catch (const std::runtime_error& e) {
      sink = sink + static_cast<uint64_t>(e.what()[0]);
    }
  }
}

NOINLINE void in_allocations() {
  std::map<int, std::string> map;
  for (int i = 0; i < 100; i++) map[i * 7919 % 1000].assign(100, 'y');
  sink = sink + map.size();
}

NOINLINE void in_system_calls() {
  for (int i = 0; i < 60; i++) sink = sink + static_cast<uint64_t>(getppid());
}

NOINLINE void in_signal_handler(int) {
  compute();
  compute();
  stay();
}
NOINLINE void in_raised_signal() {
  raise(SIGUSR1);
  stay();
}

// A fiber: its first frame is made by makecontext.
struct Fiber {
  ucontext_t main{}, own{};
  std::vector<char> stack = std::vector<char>(65536);
};
static thread_local Fiber* fiber;
static void in_fiber() {
  for (;;) {
    compute();
    compute();
    swapcontext(&fiber->own, &fiber->main);
  }
}
NOINLINE void in_swapped_context() {
  swapcontext(&fiber->main, &fiber->own);
  stay();
}

NOINLINE uint64_t all_shapes(uint64_t end) {
  static const double numbers[16] = {1, 2, 3};
  Fiber own;
  getcontext(&own.own);
  own.own.uc_stack.ss_sp = own.stack.data();
  own.own.uc_stack.ss_size = own.stack.size();
  own.own.uc_link = &own.main;  // lies on the stack where the address that in_fiber's caller returns to would
  makecontext(&own.own, in_fiber, 0);
  fiber = &own;
  uint64_t rounds = 0;
  for (; monotonic_ns() < end; rounds++) {
    in_recursion(3);
    in_recursion(40);
    in_alloca(2000 + rounds % 1000);
    in_realigned(numbers);
    in_realigned_alloca(numbers, 1000 + rounds % 500);
    in_large_frame();
    in_many_arguments(1, 2, 3, 4, 5, 6, 7, 8, static_cast<long>(rounds));
    in_virtual_calls();
    in_function_object([rounds](int n) {
      compute();
      sink = sink + rounds + static_cast<uint64_t>(n);
    });
    in_callback_of_libc();
    in_sort();
    in_regex();
    in_exceptions();
    in_allocations();
    in_system_calls();
    in_raised_signal();
    in_swapped_context();
  }
  return rounds;
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 2000);
  signal(SIGUSR1, in_signal_handler);
  ready(argc, argv);
  uint64_t end = monotonic_ns() + ms * NS_PER_MS, rounds[2];
  std::thread second([&] { rounds[1] = all_shapes(end); });
  rounds[0] = all_shapes(end);
  second.join();
  printf("{\"event\":\"result\",\"rounds\":%llu}\n", static_cast<unsigned long long>(rounds[0] + rounds[1]));
  return 0;
}
