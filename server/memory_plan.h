// How many sessions fit: known before anything is loaded, kept exactly afterwards.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"

namespace barista {

// Bytes this process may use: the machine's available memory or its cgroup's limit, whichever is less.
int64_t AvailableMemoryBytes();

// What there is, in bytes, before anything is loaded.
struct MemoryRoom {
  int64_t host = 0;
  std::optional<int64_t> device;  // of a backend with memory of its own: weights, workspace and slots lie there
};

struct MemoryWish {
  int64_t memory_bytes = 0;       // for weights, workspace and slots; 0: 80 % of the host's room, 95 % of the device's
  int64_t fixed_bytes = 0;        // weights and workspace
  int64_t replay_bytes = 0;       // of replays in float64, on the host
  int64_t host_state_bytes = 0;   // of idle sessions, on the host
  int64_t checkpoint_bytes = -1;  // on the host; -1: a sixteenth of its memory, at most 256 MiB
  int64_t sessions_max = 0;       // slots; 0: as many as fit, at most 1024
};

// Of one session: in a slot, and beside it on the host.
struct SessionBytes {
  int64_t slot = 0, host = 0;
};

struct MemoryPlan {
  int64_t memory_bytes = 0;  // in which the slots lie
  int64_t checkpoint_bytes = 0;
  int32_t slots = 0;
};

// slots = what weights and workspace leave over the bytes of a session, at most 1024 unless `sessions_max` asks for a
// number; without a device the host's shares come out of the same memory. Error: ResourceExhausted naming needed and
// available bytes where not one session, or not `sessions_max` of them, fit.
absl::StatusOr<MemoryPlan> PlanMemory(const MemoryRoom& room, const MemoryWish& wish, const SessionBytes& session);

}  // namespace barista
