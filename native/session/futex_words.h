// What the memory around a futex says where the value that its waiters expect leaves it open whether it is a lock: each
// futex is looked at a few times, when one of its waits has been read. The table of words: docs/how-it-works.md.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace lowflame {

class FutexWords {
 public:
  // A futex that is to be taken for another kind (lf_lock_kind) from now on.
  struct Verdict {
    uint32_t id, kind;
    uint64_t address;
  };
  // Of the futex `id`, and of those that its word decides with it. `value`: lf_record.futex_value. Reads the memory of
  // process `tgid` around `address`.
  std::vector<Verdict> Look(uint32_t id, uint32_t kind, uint32_t value, uint32_t tgid, uint64_t address);

  // Of a word that waiters take for a lock's (they expect 2 or 3): whether it holds a number that no lock has.
  static bool IsNumber(uint32_t word);
  // Whether it may be the state of Rust's std::sync::RwLock with somebody waiting.
  static bool IsRustRwLock(uint32_t word);

 private:
  static constexpr uint32_t kMaxLooks = 32;
  using Word = std::pair<uint32_t, uint64_t>;  // process, address
  struct Seen {
    uint32_t looks = 0, numbers = 0;
    bool listed = false, settled = false;
  };
  struct Open {
    uint32_t id;
    uint64_t address;
    bool is_lock_by_value;
  };
  bool IsRwLock(const Word& state, uint32_t value, Seen* seen);

  // each has no more than there are locks
  std::unordered_map<uint32_t, Seen> seen_;  // by id
  std::set<Word> waited_at_, rwlocks_;       // words in which somebody expects a bit of an RwLock; proven ones
  std::map<Word, std::vector<Open>> open_;   // by the word that would be the state: not known as such yet
};

}  // namespace lowflame
