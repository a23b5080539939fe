// Names of sessions as people give them: with or without the "sessions/" that the contract's names begin with. Whether
// an id is a valid one is the server's to say.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace barista::cli {

inline constexpr absl::string_view kSessionPrefix = "sessions/";

// "demo" of "demo" and of "sessions/demo".
inline std::string SessionId(absl::string_view given) { return std::string(absl::StripPrefix(given, kSessionPrefix)); }

// "sessions/demo" of both.
inline std::string SessionName(absl::string_view given) { return absl::StrCat(kSessionPrefix, SessionId(given)); }

}  // namespace barista::cli
