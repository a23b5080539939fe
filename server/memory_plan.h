// How many sessions fit: known before anything is loaded, kept exactly afterwards.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace barista {

// Bytes this process may use: the machine's available memory or its cgroup's limit, whichever is less.
int64_t AvailableMemoryBytes();

struct MemoryPlan {
  int64_t memory_bytes = 0;
  int64_t checkpoint_bytes = 0;
  int32_t slots = 0;
};

struct MemoryWish {
  int64_t memory_bytes = 0;       // 0: 80 % of what is available
  int64_t fixed_bytes = 0;        // weights, workspace, replays in float64
  int64_t host_state_bytes = 0;   // of idle sessions
  int64_t checkpoint_bytes = -1;  // -1: a sixteenth of the memory, at most 256 MiB
  int64_t sessions_max = 0;       // slots; 0: as many as fit, at most 1024
};

// slots = floor((memory - weights - workspace - host states - checkpoints) / bytes_per_session), at most 1024 unless
// `sessions_max` asks for a number. Error: ResourceExhausted naming needed and available bytes where not one session,
// or not `sessions_max` of them, fit.
absl::StatusOr<MemoryPlan> PlanMemory(const MemoryWish& wish, int64_t bytes_per_session);

}  // namespace barista
