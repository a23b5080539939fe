#include "server/model/state_plan.h"

#include <map>

#include "absl/strings/str_cat.h"

namespace barista {

std::vector<StatePlanRow> StatePlan(const StateLayout& layout) {
  struct Sum {
    int64_t arrays = 0, bytes = 0, count = 0;
    DType dtype = DType::kF32;
  };
  std::map<StateKind, Sum> sums;
  int64_t listed = 0;
  for (const StateComponent& c : layout.components()) {
    Sum& sum = sums[c.kind];
    const int64_t bytes = c.count * static_cast<int64_t>(SizeOf(c.dtype));
    ++sum.arrays;
    sum.bytes += bytes;
    sum.count += c.count;
    sum.dtype = c.dtype;
    listed += bytes;
  }
  std::vector<StatePlanRow> rows;
  for (const auto& [kind, sum] : sums) {
    rows.push_back({std::string(Name(kind)), sum.bytes,
                    absl::StrCat(sum.arrays, " arrays, ", sum.count, " elements, ", std::string(Name(sum.dtype)))});
  }
  rows.push_back({"penalty_counts", StateLayout::kPenaltyBytes,
                  absl::StrCat("at most ", StateLayout::kPenaltyIdsMax, " ids, on the host")});
  if (layout.slot_bytes() > listed) rows.push_back({"alignment", layout.slot_bytes() - listed, "to 64 bytes an array"});
  return rows;
}

}  // namespace barista
