// Distinct rules by their content: see rules.h.
#include "rules.h"

namespace lowflame {

bool SameRule(const lf_uw_rule& a, const lf_uw_rule& b) {
  return a.cfa == b.cfa && a.fp == b.fp && a.cfa_offset == b.cfa_offset && a.fp_offset == b.fp_offset &&
         a.cfa_add == b.cfa_add;
}

uint64_t HashOf(const lf_uw_rule& rule) {
  uint64_t h = uint64_t{static_cast<uint32_t>(rule.cfa_offset)} << 32 | static_cast<uint32_t>(rule.fp_offset);
  h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
  h ^= uint64_t{static_cast<uint32_t>(rule.cfa_add)} << 16 | uint32_t{rule.cfa} << 8 | rule.fp;
  h = (h ^ h >> 31) * 0x94d049bb133111ebu;
  return h ^ h >> 32;
}

size_t UnwindRules::Hash::operator()(const lf_uw_rule& rule) const {
  return HashOf(rule);
}
bool UnwindRules::Equal::operator()(const lf_uw_rule& a, const lf_uw_rule& b) const {
  return SameRule(a, b);
}

UnwindRules::UnwindRules() {
  lf_uw_rule none{}, unsupported{};
  none.cfa = LF_UW_NONE;
  unsupported.cfa = LF_UW_UNSUPPORTED;
  IdOf(none);
  IdOf(unsupported);
}

uint16_t UnwindRules::IdOf(const lf_uw_rule& rule, bool may_add) {
  auto found = ids_.find(rule);
  if (found != ids_.end()) return found->second;
  if (!may_add || rules_.size() >= LF_UW_RULES) {
    dropped_++;
    return kUnsupportedRule;
  }
  auto id = static_cast<uint16_t>(rules_.size());
  rules_.push_back(rule);
  rules_.back().pad = 0;
  ids_.emplace(rules_.back(), id);
  return id;
}

}  // namespace lowflame
