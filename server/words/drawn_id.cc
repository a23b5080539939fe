#include "server/words/drawn_id.h"

#include <random>

#include "absl/strings/str_format.h"

namespace barista {

std::string DrawnId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x", random(), random());
}

}  // namespace barista
