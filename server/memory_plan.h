// How many sessions fit: known before anything is loaded, kept exactly afterwards.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace barista {

// Bytes this process may use: the machine's available memory or its cgroup's limit, whichever is less.
int64_t AvailableMemoryBytes();

struct MemoryPlan {
  int64_t memory_bytes = 0;
  int32_t slots = 0;
};

// slots = floor((memory - weights - workspace) / bytes_per_session), at most 1024 unless `sessions_max` asks for a
// number. memory_bytes 0: 80 % of what is available. Error: ResourceExhausted naming needed and available bytes where
// not one session, or not `sessions_max` of them, fit.
absl::StatusOr<MemoryPlan> PlanMemory(int64_t memory_bytes, int64_t fixed_bytes, int64_t bytes_per_session,
                                      int64_t sessions_max);

}  // namespace barista
