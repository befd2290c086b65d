// Of all functions the address and the name: see kernel_functions.h.
#include "kernel_functions.h"

#include <algorithm>
#include <unordered_map>

#include "../core/kallsyms.h"

namespace lowflame {

KernelFunctions::KernelFunctions() {
  ReadKallsyms([&](const KallsymsLine& line) {
    if (line.module) return false;
    if (!line.is_text() || !line.address) return true;
    functions_.push_back({line.address, static_cast<uint32_t>(names_.size())});
    names_.append(line.name, strlen(line.name) + 1);
    return true;
  });
  std::stable_sort(functions_.begin(), functions_.end(),
                   [](const Function& a, const Function& b) { return a.address < b.address; });
}

template <class Found>
void KernelFunctions::Find(const std::vector<std::string_view>& names, bool clones, Found found) const {
  std::unordered_map<std::string_view, size_t> wanted;
  for (size_t i = 0; i < names.size(); i++) wanted.emplace(names[i], i);
  for (size_t i = 0; i < functions_.size(); i++) {
    const std::string_view name(names_.c_str() + functions_[i].name);
    const auto it = wanted.find(clones ? name.substr(0, name.find('.')) : name);
    if (it == wanted.end()) continue;
    size_t next = i + 1;
    while (next < functions_.size() && functions_[next].address == functions_[i].address) next++;
    found(it->second, KernelRange{functions_[i].address, next < functions_.size() ? functions_[next].address : 0});
  }
}

std::vector<KernelRange> KernelFunctions::Ranges(const std::vector<std::string_view>& names) const {
  std::vector<KernelRange> ranges(names.size());
  Find(names, false, [&](size_t i, const KernelRange& range) { ranges[i] = range; });
  return ranges;
}

std::vector<std::vector<KernelRange>> KernelFunctions::Clones(const std::vector<std::string_view>& names) const {
  std::vector<std::vector<KernelRange>> ranges(names.size());
  Find(names, true, [&](size_t i, const KernelRange& range) { ranges[i].push_back(range); });
  return ranges;
}

}  // namespace lowflame
