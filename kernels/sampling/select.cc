#include "kernels/sampling/select.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/sampling/row_passes.h"

namespace barista {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Few enough to sort.
constexpr int64_t kSortable = 512;

using Entry = SelectScratch::Entry;

bool Before(const Entry& a, const Entry& b) { return a.key != b.key ? a.key > b.key : a.index < b.index; }

// entries = all with low <= key < high, by index.
void Collect(const float* key, int64_t n, float low, float high, SelectScratch& scratch) {
  scratch.kept.resize(std::max<size_t>(scratch.kept.size(), n));
  const int64_t count = Passes().collect_at_least(key, n, low, scratch.kept.data());
  scratch.entries.clear();
  for (int64_t i = 0; i < count; ++i) {
    const int32_t index = scratch.kept[i];
    if (key[index] < high) scratch.entries.push_back({key[index], index});
  }
}

// A key that at least k elements reach, and few others. k blocks have a maximum of at least the k-th largest maximum,
// so k elements do.
float BoundOfLargest(const float* key, int64_t n, int64_t k, std::vector<float>& block_max) {
  const int64_t blocks = (n + kMaxBlock - 1) / kMaxBlock;
  if (k > blocks) return -kInfinity;
  block_max.resize(blocks);
  Passes().block_max(key, n, block_max.data());
  std::nth_element(block_max.begin(), block_max.begin() + (k - 1), block_max.end(), std::greater<float>());
  return block_max[k - 1];
}

// A part of the key's range around the end of the head: mass(key >= low) >= target > mass(key >= high) = above.
struct Bracket {
  float low = 0;
  float high = 0;
  double above = 0;
};

// One pass: splits the range into kThresholds + 1 parts and keeps the one with the end. False where nothing was gained.
bool Narrow(const MassQuery& query, Bracket& bracket) {
  std::array<float, kThresholds> threshold;
  std::array<double, kThresholds> mass;
  const double step = (static_cast<double>(bracket.high) - bracket.low) / (kThresholds + 1);
  for (int t = 0; t < kThresholds; ++t) threshold[t] = static_cast<float>(bracket.low + (t + 1) * step);
  Passes().mass_at_least(query.key, query.weights, query.n, threshold, mass);
  const Bracket before = bracket;
  for (int t = 0; t < kThresholds; ++t) {
    if (mass[t] >= query.target) {
      bracket.low = std::max(bracket.low, threshold[t]);
    } else if (threshold[t] < bracket.high) {
      bracket.high = threshold[t];
      bracket.above = mass[t];
      break;
    }
  }
  return bracket.low > before.low || bracket.high < before.high;
}

}  // namespace

void SelectLargest(const float* key, int64_t n, int64_t k, SelectScratch& scratch) {
  Collect(key, n, BoundOfLargest(key, n, k, scratch.block_max), kInfinity, scratch);
  std::partial_sort(scratch.entries.begin(), scratch.entries.begin() + k, scratch.entries.end(), Before);
}

int64_t SelectMass(const MassQuery& query, SelectScratch& scratch) {
  Bracket bracket{query.low, std::nextafter(query.high, kInfinity), 0};
  for (bool narrowed = true; narrowed;) {
    narrowed = Narrow(query, bracket);
    if (Passes().count_between(query.key, query.n, bracket.low, bracket.high) <= kSortable) break;
  }
  Collect(query.key, query.n, bracket.low, bracket.high, scratch);
  std::vector<Entry>& entries = scratch.entries;
  std::sort(entries.begin(), entries.end(), Before);
  Entry last{bracket.low, std::numeric_limits<int32_t>::max()};
  double sum = bracket.above;
  for (size_t i = 0; i < entries.size() && sum < query.target; ++i) {
    last = entries[i];
    sum += static_cast<double>(query.weights[last.index]);
  }
  const int64_t reached = Passes().collect_at_least(query.key, query.n, last.key, scratch.kept.data());
  const auto after_last = [&](int32_t i) { return query.key[i] == last.key && i > last.index; };
  const auto end = std::remove_if(scratch.kept.begin(), scratch.kept.begin() + reached, after_last);
  return end - scratch.kept.begin();
}

}  // namespace barista
