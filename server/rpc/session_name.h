// Names of sessions and snapshots on the wire: "sessions/ID", "snapshots/ID".
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/session_id.h"

namespace barista {

// The id in a name. Errors: kInvalidField naming `field`.
absl::StatusOr<std::string> ParseSessionName(absl::string_view name, absl::string_view field);
absl::StatusOr<std::string> ParseSnapshotName(absl::string_view name, absl::string_view field);

std::string SessionName(absl::string_view id);
std::string SnapshotName(absl::string_view id);

// A session's or a snapshot's key inside the server, of one tenant.
std::string KeyOf(absl::string_view tenant, absl::string_view id);
// False: a file of another origin, whatever its name.
bool IsKey(absl::string_view key);

}  // namespace barista
