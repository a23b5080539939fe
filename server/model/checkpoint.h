// A checkpoint directory, opened and checked: config.json, generation_config.json, the tensors of model.safetensors
// (or of the shards of model.safetensors.index.json), and where tokenizer.json is.
//
// Open validates everything but the values of the weights: a Checkpoint that exists has exactly the tensors its config
// asks for, with the right shapes. Immutable; any thread may read. Owns the file mappings, so every HostTensor points
// into it and must not outlive it; drop the Checkpoint once the weights are packed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/model/config.h"
#include "server/model/generation_defaults.h"
#include "server/model/safetensors.h"

namespace barista {

class Checkpoint {
 public:
  // Errors: NotFound naming the missing file (directory, config.json, weights, a shard); InvalidArgument for everything
  // that is wrong inside one, naming key or tensor, value and expectation (of wrong tensors up to ten, and how many).
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& directory);

  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

  const std::string& directory() const { return directory_; }
  const ModelConfig& config() const { return config_; }
  const GenerationDefaults& generation_defaults() const { return generation_defaults_; }

  // The tensor of that name, or null where the checkpoint has none (only optional ones may be missing).
  const HostTensor* find(absl::string_view name) const;

  // Path of tokenizer.json; nullopt: only token ids can be served.
  const std::optional<std::string>& tokenizer_path() const { return tokenizer_path_; }

  // SHA-256 in hex (64 characters) of config.json and of every byte of the weight files, in name order: two
  // checkpoints with equal fingerprints compute the same. Reads all weights (0.5 to 2 GB/s), so call it once.
  std::string fingerprint() const;

 private:
  Checkpoint() = default;

  std::string directory_;
  std::string config_json_;
  ModelConfig config_;
  GenerationDefaults generation_defaults_;
  std::optional<std::string> tokenizer_path_;
  std::vector<SafetensorsFile> files_;                                 // in name order
  absl::flat_hash_map<absl::string_view, const HostTensor*> by_name_;  // points into files_
};

}  // namespace barista
