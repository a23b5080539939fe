#include "server/engine/positions.h"

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {

absl::Status CheckPositions(int64_t past, absl::string_view where, size_t prompt, const StopParams& stop,
                            int64_t limit) {
  if (limit == 0 || past + static_cast<int64_t>(prompt) + stop.max_tokens <= limit) return absl::OkStatus();
  return MakeError(
      {.reason = ErrorReason::kPositionOutOfRange, .field = "stop.max_tokens"},
      absl::StrCat("stop.max_tokens: ", past, " tokens in ", where, ", ", prompt, " in the prompt and max_tokens ",
                   stop.max_tokens, " pass the model's last position, ", limit));
}

}  // namespace barista
