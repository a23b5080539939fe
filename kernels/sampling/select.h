// The head of an ordering of a row (by key, largest first, equal keys by lowest index), found without sorting the row.
// Keys are not NaN. Pure functions but for their scratch, which belongs to the calling thread.
#pragma once

#include <cstdint>
#include <vector>

namespace barista {

// Storage of one selection; grows to the longest row and is reused.
struct SelectScratch {
  struct Entry {
    float key = 0;
    int32_t index = 0;
  };
  std::vector<Entry> entries;
  std::vector<int32_t> kept;
  std::vector<float> block_max;
};

// The k largest, 0 < k <= n, into scratch.entries[0, k), in order.
void SelectLargest(const float* key, int64_t n, int64_t k, SelectScratch& scratch);

struct MassQuery {
  const float* key = nullptr;      // [n]
  const float* weights = nullptr;  // [n], >= 0
  int64_t n = 0;
  double target = 0;  // > 0
  float low = 0;      // finite; what lies below holds less than the total minus the target
  float high = 0;     // the largest key; finite
};

// The shortest head whose weights sum to at least `target` (all from `low` up where rounding keeps the sum below):
// indices into scratch.kept[0, returned count), ascending.
int64_t SelectMass(const MassQuery& query, SelectScratch& scratch);

}  // namespace barista
