#include "server/describe.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/model/state_plan.h"

namespace barista {

std::string Describe(const Checkpoint& checkpoint, const StateLayout& layout, absl::string_view weight_type,
                     int64_t weight_bytes, int64_t replay_bytes, int32_t slots, int64_t memory_bytes, int devices) {
  const ModelConfig& c = checkpoint.config();
  std::string text = absl::StrCat(checkpoint.directory(), ": ", std::string(Name(c.task)), ", ", c.num_hidden_layers,
                                  " layers, hidden ", c.hidden_size, ", heads ", c.num_attention_heads, "/",
                                  c.num_key_value_heads, " x ", c.head_dim, ", vocabulary ", c.vocab_size, "\n");
  absl::StrAppendFormat(&text, "  %-18s %15d  %s\n", "weights", weight_bytes, weight_type);
  if (replay_bytes > 0) absl::StrAppendFormat(&text, "  %-18s %15d  while one runs\n", "float64 replay", replay_bytes);
  absl::StrAppend(&text, "state of one session, the same at every position:\n");
  for (const StatePlanRow& row : StatePlan(layout)) {
    absl::StrAppendFormat(&text, "  %-18s %15d  %s\n", row.component, row.bytes, row.detail);
  }
  absl::StrAppendFormat(&text, "  %-18s %15d\n", "bytes_per_session", layout.bytes_per_session());
  absl::StrAppendFormat(&text, "sessions_max = %d of %d bytes of memory%s\n", slots, memory_bytes,
                        devices == 1 ? "" : absl::StrCat(", on each of ", devices, " devices"));
  return text;
}

}  // namespace barista
