#include "server/engine/error.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace barista {
namespace {

constexpr char kPayload[] = "barista/error";  // "REASON_INDEX\nFIELD\nSECONDS\nPOSITION"

struct Row {
  absl::string_view name;
  absl::StatusCode code;
};

// In the order of ErrorReason.
constexpr Row kRows[] = {
    {"INVALID_FIELD", absl::StatusCode::kInvalidArgument},
    {"PROMPT_TOO_LONG", absl::StatusCode::kInvalidArgument},
    {"MALFORMED_REQUEST", absl::StatusCode::kInvalidArgument},
    {"NO_TOKENIZER", absl::StatusCode::kFailedPrecondition},
    {"WRONG_TASK", absl::StatusCode::kFailedPrecondition},
    {"POSITION_OUT_OF_RANGE", absl::StatusCode::kOutOfRange},
    {"QUEUE_FULL", absl::StatusCode::kResourceExhausted},
    {"SESSIONS_MAX", absl::StatusCode::kResourceExhausted},
    {"SLOW_CONSUMER", absl::StatusCode::kResourceExhausted},
    {"DEADLINE", absl::StatusCode::kDeadlineExceeded},
    {"CANCELLED", absl::StatusCode::kCancelled},
    {"NON_FINITE", absl::StatusCode::kInternal},
    {"DRAINING", absl::StatusCode::kUnavailable},
    {"ENGINE_FAILED", absl::StatusCode::kUnavailable},
    {"INTERNAL", absl::StatusCode::kInternal},
    {"SESSION_BUSY", absl::StatusCode::kAborted},
    {"SESSION_NOT_FOUND", absl::StatusCode::kNotFound},
    {"SESSION_EXISTS", absl::StatusCode::kAlreadyExists},
    {"SNAPSHOT_CORRUPT", absl::StatusCode::kInvalidArgument},
    {"MODEL_MISMATCH", absl::StatusCode::kFailedPrecondition},
    {"NO_STORE", absl::StatusCode::kFailedPrecondition},
    {"STORE_FAILED", absl::StatusCode::kUnavailable},
    {"STORE_FULL", absl::StatusCode::kResourceExhausted},
    {"SNAPSHOT_NOT_FOUND", absl::StatusCode::kNotFound},
    {"SNAPSHOT_EXISTS", absl::StatusCode::kAlreadyExists},
    {"SNAPSHOT_DAMAGED", absl::StatusCode::kDataLoss},
    {"MARK_NOT_FOUND", absl::StatusCode::kNotFound},
    {"REWIND_OUT_OF_RANGE", absl::StatusCode::kOutOfRange},
    {"NO_SEAL_KEY", absl::StatusCode::kFailedPrecondition},
    {"SEALED_STATE_REFUSED", absl::StatusCode::kPermissionDenied},
    {"REQUEST_RUNNING", absl::StatusCode::kAborted},
    {"SESSION_ELSEWHERE", absl::StatusCode::kUnavailable},
    {"UNAUTHENTICATED", absl::StatusCode::kUnauthenticated},
    {"ADMIN_KEY_REQUIRED", absl::StatusCode::kPermissionDenied},
    {"TENANT_LIMIT", absl::StatusCode::kResourceExhausted},
};

const Row& RowOf(ErrorReason reason) { return kRows[static_cast<int>(reason)]; }

}  // namespace

absl::string_view Name(ErrorReason reason) { return RowOf(reason).name; }

absl::Status MakeError(const ErrorDetail& detail, absl::string_view message) {
  absl::Status status(RowOf(detail.reason).code, message);
  status.SetPayload(kPayload, absl::Cord(absl::StrCat(static_cast<int>(detail.reason), "\n", detail.field, "\n",
                                                      detail.retry_after_seconds, "\n", detail.durable_position)));
  return status;
}

absl::Status FieldError(absl::string_view field, absl::string_view message) {
  return MakeError({.reason = ErrorReason::kInvalidField, .field = std::string(field)},
                   absl::StrCat(field, ": ", message));
}

absl::Status NonFiniteError(absl::string_view where, absl::string_view lost) {
  return MakeError({.reason = ErrorReason::kNonFinite},
                   absl::StrCat("the model made a value that is not finite at ", where, "; ", lost));
}

ErrorDetail DetailOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload) return {};
  const std::vector<std::string> parts = absl::StrSplit(std::string(*payload), '\n');
  ErrorDetail detail;
  int reason = 0;
  if (absl::SimpleAtoi(parts[0], &reason)) detail.reason = static_cast<ErrorReason>(reason);
  detail.field = parts[1];
  static_cast<void>(absl::SimpleAtod(parts[2], &detail.retry_after_seconds));
  static_cast<void>(absl::SimpleAtoi(parts[3], &detail.durable_position));
  return detail;
}

}  // namespace barista
