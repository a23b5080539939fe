// What a checkpoint's optional generation_config.json says: token ids and sampling defaults of the model's authors.
// A plain value; absent fields mean the file did not say. Ranges are those of the public API's sampling parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

struct GenerationDefaults {
  std::optional<int32_t> bos_token_id;                // ids: 0 .. vocab_size - 1
  std::optional<std::vector<int32_t>> eos_token_ids;  // key eos_token_id (an id or a list)
  std::optional<int32_t> pad_token_id;
  std::optional<bool> do_sample;             // false: greedy, whatever temperature says
  std::optional<double> temperature;         // 0 .. 100; 0 is greedy
  std::optional<int64_t> top_k;              // 0 .. 4,194,304; 0 = off
  std::optional<double> top_p;               // (0, 1]
  std::optional<double> min_p;               // [0, 1]
  std::optional<double> typical_p;           // (0, 1]
  std::optional<double> repetition_penalty;  // (0, 100]; 1 = off
};

// Reads the text of a generation_config.json. Known keys are checked as strictly as those of config.json
// (InvalidArgument naming key, value and limit); unknown keys are ignored, because the format has dozens of them.
absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(absl::string_view json, absl::string_view origin,
                                                           int64_t vocab_size);

}  // namespace barista
