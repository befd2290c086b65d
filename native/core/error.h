// The one exception type of the addon: a stable code and a sentence that says what is wrong and what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace lowflame {

class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& sentence) : std::runtime_error(sentence), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

}  // namespace lowflame
