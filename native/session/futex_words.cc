// Looks at the words of futexes: see futex_words.h.
#include "futex_words.h"

#include <sys/uio.h>

#include <algorithm>

#include "../../bpf/events.h"

namespace lowflame {
namespace {

// library/std/src/sys/sync/rwlock/futex.rs (before 1.78 sys/unix/locks/futex_rwlock.rs): readers in the low 30 bits,
// all of them set while a writer has it, and two bits for who waits
constexpr uint32_t kMask = (1U << 30) - 1, kReadersWaiting = 1U << 30, kWritersWaiting = 1U << 31;
constexpr uint32_t kMostReaders = 65536;

bool ReadWord(const std::pair<uint32_t, uint64_t>& word, uint32_t* value) {
  iovec to{value, sizeof(*value)}, from{reinterpret_cast<void*>(word.second), sizeof(*value)};
  return process_vm_readv(static_cast<pid_t>(word.first), &to, 1, &from, 1, 0) == sizeof(*value);
}

}  // namespace

bool FutexWords::IsNumber(uint32_t word) {
  return word > 3 && word < 1U << 30;
}

// All ones are a state, too, and what a parked thread of Rust's has: another look tells.
bool FutexWords::IsRustRwLock(uint32_t word) {
  const uint32_t holders = word & kMask;
  return word & (kReadersWaiting | kWritersWaiting) && word != ~0U && (holders == kMask || holders < kMostReaders);
}

// Readers wait at the state, writers at the number behind it.
bool FutexWords::IsRwLock(const Word& state, uint32_t value, Seen* seen) {
  const bool of_readers = value >= LF_FUTEX_BITS;
  if (of_readers) waited_at_.insert(state);
  if (rwlocks_.count(state)) return true;
  // nobody waits for such a value right before somebody who waits for a number, but at this lock
  const auto& rows = open_[state];
  // a number that is just 2 or 3 may be a lock of its own
  auto behind = [&](const Open& row) { return row.address != state.second && !row.is_lock_by_value; };
  bool is = waited_at_.count(state) && std::any_of(rows.begin(), rows.end(), behind);
  uint32_t word;
  if (!is && seen->looks < kMaxLooks && ReadWord(state, &word)) {
    seen->looks++;
    const bool written = (word & kMask) == kMask;
    // musl's mutexes hold a thread's id and a bit for waiters: that could be readers
    is =
        IsRustRwLock(word) && (of_readers ? written || value == LF_FUTEX_ONES : word & kWritersWaiting && word & kMask);
  }
  if (is) rwlocks_.insert(state);
  return is;
}

std::vector<FutexWords::Verdict> FutexWords::Look(uint32_t id, uint32_t kind, uint32_t value, uint32_t tgid,
                                                  uint64_t address) {
  Seen& seen = seen_[id];
  if (kind == LF_LOCK_FUTEX_PI || seen.settled) return {};
  const Word word{tgid, address};
  const Word state{tgid, value >= LF_FUTEX_BITS ? address : address - sizeof(uint32_t)};
  const bool by_small_value = kind == LF_LOCK_FUTEX && value < LF_FUTEX_BITS;
  if (!seen.listed) open_[state].push_back({id, address, by_small_value});
  seen.listed = true;
  if (by_small_value ? rwlocks_.count(state) != 0 : IsRwLock(state, value, &seen)) {
    std::vector<Verdict> verdicts;
    for (const Open& row : open_[state]) {
      verdicts.push_back({row.id, LF_LOCK_FUTEX_RWLOCK, row.address});
      seen_[row.id].settled = true;
    }
    open_.erase(state);
    return verdicts;
  }
  uint32_t here;
  if (!by_small_value || seen.looks >= kMaxLooks || !ReadWord(word, &here)) return {};
  seen.looks++;
  seen.numbers += IsNumber(here);
  // one number may be what somebody else has written into freed memory since
  if (seen.numbers < 2 || seen.numbers * 4 < seen.looks) return {};
  seen.settled = true;
  return {{id, LF_LOCK_FUTEX_CONDITION, address}};
}

}  // namespace lowflame
