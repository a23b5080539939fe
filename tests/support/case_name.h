// Names of parameterised cases.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

namespace barista::test {

// What GoogleTest takes as a name: letters and digits stay, all else becomes _.
inline std::string CaseName(std::string words) {
  std::replace_if(
      words.begin(), words.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return words;
}

}  // namespace barista::test
