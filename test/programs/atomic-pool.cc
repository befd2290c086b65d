// Idle threads that wait in C++20's std::atomic::wait, for words that hold the very values of a lock with waiters, and
// beside them a lock that is really one, made of the same. Prints the addresses of the words.
//
//   atomic-pool [--ms 1500] [--hold]
//
//   version: a number that is 2, and 3 in the second half; who waits for it leaves it once
//   idle:    2 while there is nothing to do, something else for a moment every 400 ms
//   lock:    0 free, 1 held, 2 held and wanted: held for 3 ms at a time, wanted by all of its threads
#include <atomic>
#include <thread>
#include <vector>

#include "program.h"

static constexpr int IDLE = 2, WORK = 7;
static std::atomic<int> version{2}, state{IDLE};
static std::atomic<bool> over{false};
static std::atomic<long> done{0};

static void pause_ms(uint64_t ms) {
  struct timespec t = to_timespec(ms * NS_PER_MS);
  nanosleep(&t, nullptr);
}

class WordMutex {
 public:
  std::atomic<int> word{0};
  NOINLINE void lock() {
    int free = 0;
    if (word.compare_exchange_strong(free, 1)) return;
    while (word.exchange(2) != 0) word.wait(2);
  }
  void unlock() {
    if (word.exchange(0) == 2) word.notify_one();
  }
};
static WordMutex mutex;

NOINLINE void wait_for_version() {
  for (int seen = version; !over; seen = version) version.wait(seen);
}
NOINLINE void wait_for_work() {
  while (!over) {
    state.wait(IDLE);
    done++;
    state.wait(WORK);
  }
}
NOINLINE void take_the_lock() {
  while (!over) {
    mutex.lock();
    pause_ms(3);
    mutex.unlock();
  }
}

int main(int argc, char** argv) {
  uint64_t ms = option(argc, argv, "--ms", 1500);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back(wait_for_version);
  for (int i = 0; i < 4; i++) threads.emplace_back(wait_for_work);
  pause_ms(50);
  ready(argc, argv);
  for (int i = 0; i < 3; i++) threads.emplace_back(take_the_lock);
  for (uint64_t at = 0; at < ms; at += 100) {
    if (at / 100 == ms / 200) {
      version++;
      version.notify_all();
    }
    if (at % 400 == 200) {
      state = WORK;
      state.notify_all();
      pause_ms(1);
      state = IDLE;
      state.notify_all();
    }
    pause_ms(100);
  }
  printf("{\"event\":\"result\",\"version\":%llu,\"idle\":%llu,\"lock\":%llu}\n",
         (unsigned long long)(uintptr_t)&version, (unsigned long long)(uintptr_t)&state,
         (unsigned long long)(uintptr_t)&mutex.word);
  fflush(stdout);
  _exit(0);
}
