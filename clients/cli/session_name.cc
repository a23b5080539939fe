#include "clients/cli/session_name.h"

#include <random>

#include "absl/strings/str_format.h"

namespace barista::cli {

std::string DrawnSessionId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x", random(), random());
}

}  // namespace barista::cli
