// Errors that callers can act on: an absl::Status that also says why (a stable reason), which field, and when to try
// again. rpc/status_map turns them into google.rpc details.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace barista {

// barista.v1.ErrorReason (proto/barista/v1/errors.proto), which documents each; the names are equal without the prefix.
enum class ErrorReason {
  kInvalidField,
  kPromptTooLong,
  kMalformedRequest,
  kNoTokenizer,
  kWrongTask,
  kPositionOutOfRange,
  kQueueFull,
  kSessionsMax,
  kSlowConsumer,
  kDeadline,
  kCancelled,
  kNonFinite,
  kDraining,
  kEngineFailed,
  kInternal,
  kSessionBusy,
  kSessionNotFound,
  kSessionExists,
  kSnapshotCorrupt,
  kModelMismatch,
  kNoStore,
  kStoreFailed,
  kStoreFull,
  kSnapshotNotFound,
  kSnapshotExists,
  kSnapshotDamaged,
  kMarkNotFound,
  kRewindOutOfRange,
  kNoSealKey,
  kSealedStateRefused,
  kRequestRunning,
  kSessionElsewhere,
  kUnauthenticated,
  kAdminKeyRequired,
  kTenantLimit,
};

absl::string_view Name(ErrorReason reason);  // "INVALID_FIELD"

struct ErrorDetail {
  ErrorReason reason = ErrorReason::kInternal;
  std::string field;               // path in the request, "sampling.top_p"; of kTenantLimit "tenant:NAME"; or empty
  double retry_after_seconds = 0;  // 0: trying again as it stands does not help
  int64_t durable_position = 0;    // of kEngineFailed: tokens of the call's session that a snapshot has; 0: none known
};

// The status code follows from the reason (proto/barista/v1/errors.proto). The message names value and limit.
absl::Status MakeError(const ErrorDetail& detail, absl::string_view message);
absl::Status FieldError(absl::string_view field, absl::string_view message);   // kInvalidField
absl::Status NonFiniteError(absl::string_view where, absl::string_view lost);  // kNonFinite

// The detail of a status made by MakeError; kInternal for any other.
ErrorDetail DetailOf(const absl::Status& status);

}  // namespace barista
