// The distinct unwind rules of the machine: files have few of them (libcrypto 355), and share most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "../../bpf/unwind.h"

namespace lowflame {

// Always there, so that it can stand for whatever finds no room.
constexpr uint16_t kUnsupportedRule = 1;

// Not safe for threads: whoever builds tables owns it.
class UnwindRules {
 public:
  // Rule 0 is LF_UW_NONE, rule kUnsupportedRule is LF_UW_UNSUPPORTED.
  UnwindRules();
  // Id of an equal rule, added if it is new. Where it is new and there are LF_UW_RULES, or it must not be added: the id
  // of LF_UW_UNSUPPORTED, counted.
  uint16_t IdOf(const lf_uw_rule& rule, bool may_add = true);
  const std::vector<lf_uw_rule>& rules() const { return rules_; }
  // Calls of IdOf that found no room.
  uint64_t dropped() const { return dropped_; }

 private:
  struct Hash {
    size_t operator()(const lf_uw_rule& rule) const;
  };
  struct Equal {
    bool operator()(const lf_uw_rule& a, const lf_uw_rule& b) const;
  };
  std::vector<lf_uw_rule> rules_;
  std::unordered_map<lf_uw_rule, uint16_t, Hash, Equal> ids_;
  uint64_t dropped_ = 0;
};

bool SameRule(const lf_uw_rule& a, const lf_uw_rule& b);
// Spreads rules over 64 bits.
uint64_t HashOf(const lf_uw_rule& rule);

}  // namespace lowflame
