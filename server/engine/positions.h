// The positions that a model with full attention has.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/engine/request.h"

namespace barista {

// Whether the tokens of `where` ("the session"), a prompt and stop.max_tokens after it stay within `limit` positions;
// 0: no limit. Error: kPositionOutOfRange naming stop.max_tokens.
absl::Status CheckPositions(int64_t past, absl::string_view where, size_t prompt, const StopParams& stop,
                            int64_t limit);

}  // namespace barista
