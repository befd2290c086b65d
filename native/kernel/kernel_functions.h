// Functions of the kernel proper by name, from one reading of /proc/kallsyms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowflame {

struct KernelRange {
  uint64_t begin = 0, end = 0;
  bool contains(uint64_t a) const { return a >= begin && a < end; }
};

class KernelFunctions {
 public:
  KernelFunctions();

  // [begin, end) of each function, in the order asked; {0, 0} if not found or hidden.
  std::vector<KernelRange> Ranges(const std::vector<std::string_view>& names) const;
  // Of each name the function so called and those that the compiler made of it ("NAME.constprop.0"), in the order
  // asked.
  std::vector<std::vector<KernelRange>> Clones(const std::vector<std::string_view>& names) const;

 private:
  struct Function {
    uint64_t address;
    uint32_t name;
  };
  // Calls `found` with the number of a name and the range of a function, by address.
  template <class Found>
  void Find(const std::vector<std::string_view>& names, bool clones, Found found) const;

  std::vector<Function> functions_;  // by address
  std::string names_;
};

}  // namespace lowflame
