// JSON text to a value, strictly: what a configuration file or a tensor header may not contain is refused here.
// Pure functions; no exception leaves them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace barista {

// Nesting of objects and arrays that ParseStrictJson accepts.
inline constexpr size_t kMaxJsonDepth = 16;

// Parses `text`, which must be one JSON value and nothing else. `origin` (a path) starts every message.
// InvalidArgument: malformed JSON or UTF-8 (with line and column), NaN or Infinity, numbers beyond double, a key that
// an object holds twice, nesting deeper than kMaxJsonDepth.
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, absl::string_view origin);

// `name` quoted for a message: control and non-ASCII bytes escaped, at most 200 bytes of it.
std::string Quoted(absl::string_view name);

// A value as JSON text for a message, at most 100 bytes of it.
std::string Shown(const nlohmann::json& value);

}  // namespace barista
