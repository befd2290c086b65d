// Slab caches that the kernel has merged: see slab_caches.h.
#include "slab_caches.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

namespace lowflame {

std::map<std::string, std::string> MergedSlabCaches(const std::string& folder) {
  constexpr size_t kMostNames = 3;
  std::map<std::string, std::vector<std::string>> links;
  std::error_code failed;
  for (std::filesystem::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    std::error_code no_link;
    std::string target = std::filesystem::read_symlink(it->path(), no_link).filename();
    if (!no_link && target[0] == ':') links[target].push_back(it->path().filename());
  }
  std::map<std::string, std::string> merged;
  for (auto& [target, names] : links) {
    if (names.size() < 2) continue;
    std::sort(names.begin(), names.end());
    std::string all = names[0];
    for (size_t i = 1; i < names.size(); i++) all += " or " + names[i];
    size_t digits = target.find_last_not_of("0123456789") + 1;
    if (names.size() > kMostNames) all = std::to_string(std::strtoul(target.c_str() + digits, nullptr, 10)) + "-byte";
    for (const std::string& name : names) merged[name] = all;
  }
  return merged;
}

}  // namespace lowflame
