// --describe: the plan of memory, from the checkpoint's config and the flags alone, before any weight is loaded.
#pragma once

#include <string>

#include "server/config.h"
#include "server/model/checkpoint.h"
#include "server/model/state.h"

namespace barista {

// slots, memory_bytes: of the first of `devices`.
std::string Describe(const Checkpoint& checkpoint, const StateLayout& layout, absl::string_view weight_type,
                     int64_t weight_bytes, int64_t replay_bytes, int32_t slots, int64_t memory_bytes, int devices);

}  // namespace barista
