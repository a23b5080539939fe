// Opening a checkpoint's weights: the one file model.safetensors, or the shards that model.safetensors.index.json
// names. Pure of any knowledge of the model; the tensors' names and shapes are checked by the caller.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/safetensors.h"

namespace barista {

// The weight files of `directory`, in name order; no tensor is in two of them. Errors: NotFound where there is neither
// file or a shard is missing; InvalidArgument where there are both, where the index is malformed, names a file outside
// the directory, or disagrees with what the shards hold (naming tensor and shard).
absl::StatusOr<std::vector<SafetensorsFile>> OpenWeightFiles(const std::string& directory);

}  // namespace barista
