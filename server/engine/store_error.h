// What a store said, as an error of ours.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace barista {

// what: of what, such as "sessions/a" or "snapshots/b". A full store becomes kStoreFull, anything else kStoreFailed.
absl::Status StoreError(absl::string_view what, const absl::Status& status);
// Bytes that came back from a store and are not what was kept: kSnapshotDamaged; those of another model or tenant stay
// what they are.
absl::Status DamagedError(absl::string_view what, const absl::Status& status);

}  // namespace barista
