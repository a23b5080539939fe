#include "server/engine/store_error.h"

#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {

absl::Status StoreError(absl::string_view what, const absl::Status& status) {
  const bool full = absl::IsResourceExhausted(status);
  return MakeError({.reason = full ? ErrorReason::kStoreFull : ErrorReason::kStoreFailed, .retry_after_seconds = 1},
                   absl::StrCat(what, ": ", status.message()));
}

absl::Status DamagedError(absl::string_view what, const absl::Status& status) {
  if (DetailOf(status).reason == ErrorReason::kModelMismatch) return status;
  return MakeError({.reason = ErrorReason::kSnapshotDamaged}, absl::StrCat(what, ": ", status.message()));
}

}  // namespace barista
