#include "server/model/generation_defaults.h"

#include "server/model/json_fields.h"
#include "server/model/strict_json.h"

namespace barista {

absl::StatusOr<GenerationDefaults> ParseGenerationDefaults(absl::string_view json, absl::string_view origin,
                                                           int64_t vocab_size) {
  const auto object = ParseStrictJson(json, origin);
  if (!object.ok()) return object.status();
  JsonFields fields(*object, origin);
  GenerationDefaults d;
  d.bos_token_id = fields.OptionalId("bos_token_id", vocab_size);
  d.eos_token_ids = fields.OptionalIds("eos_token_id", vocab_size);
  d.pad_token_id = fields.OptionalId("pad_token_id", vocab_size);
  d.do_sample = fields.OptionalBool("do_sample");
  d.temperature = fields.OptionalReal("temperature", {0.0, 100.0});
  if (fields.Has("top_k")) d.top_k = fields.Int("top_k", {0, int64_t{1} << 22});
  constexpr double kSmallest = 1e-6;  // a probability of 0 would leave no token to draw
  d.top_p = fields.OptionalReal("top_p", {kSmallest, 1.0});
  d.min_p = fields.OptionalReal("min_p", {0.0, 1.0});
  d.typical_p = fields.OptionalReal("typical_p", {kSmallest, 1.0});
  d.repetition_penalty = fields.OptionalReal("repetition_penalty", {kSmallest, 100.0});
  if (!fields.ok()) return fields.status();
  return d;
}

}  // namespace barista
