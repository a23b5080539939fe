// Whether whole counts are wanted (tests/run.sh --full) instead of small ones.
#pragma once

#include <cstdlib>
#include <string_view>

namespace barista::test {

inline bool WantsWholeCounts() {
  const char* full = std::getenv("BARISTA_FULL");
  return full != nullptr && std::string_view(full) == "1";
}

}  // namespace barista::test
