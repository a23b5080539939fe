// A session's state in rows for people: what it holds and how many bytes, over all layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/model/state.h"

namespace barista {

struct StatePlanRow {
  std::string component;  // "latent_vtilde"
  int64_t bytes = 0;      // over all layers
  std::string detail;     // "12 x 24576 f32"
};

// Sums to layout.bytes_per_session(), alignment included.
std::vector<StatePlanRow> StatePlan(const StateLayout& layout);

}  // namespace barista
