// Names of sessions and snapshots as people give them: with or without the "sessions/" or "snapshots/" that the
// contract's names begin with. Whether an id is a valid one is the server's to say.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace barista::cli {

inline constexpr absl::string_view kSessionPrefix = "sessions/";
inline constexpr absl::string_view kSnapshotPrefix = "snapshots/";

// "demo" of "demo" and of "sessions/demo".
inline std::string SessionId(absl::string_view given) { return std::string(absl::StripPrefix(given, kSessionPrefix)); }

// "sessions/demo" of both.
inline std::string SessionName(absl::string_view given) { return absl::StrCat(kSessionPrefix, SessionId(given)); }

// "demo" of "demo" and of "snapshots/demo".
inline std::string SnapshotId(absl::string_view given) {
  return std::string(absl::StripPrefix(given, kSnapshotPrefix));
}

// "snapshots/demo" of both.
inline std::string SnapshotName(absl::string_view given) { return absl::StrCat(kSnapshotPrefix, SnapshotId(given)); }

}  // namespace barista::cli
