#include "server/rpc/status_map.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/engine/error.h"

namespace barista {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const ErrorDetail detail = DetailOf(status);
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));  // absl's codes are gRPC's
  rich.set_message(std::string(status.message()));

  google::rpc::ErrorInfo info;
  info.set_reason(std::string(Name(detail.reason)));
  info.set_domain("barista");
  if (detail.durable_position > 0) {
    (*info.mutable_metadata())["durable_position"] = absl::StrCat(detail.durable_position);
  }
  rich.add_details()->PackFrom(info);
  if (detail.reason == ErrorReason::kTenantLimit) {
    google::rpc::QuotaFailure quota;
    auto* violation = quota.add_violations();
    violation->set_subject(detail.field);
    violation->set_description(std::string(status.message()));
    rich.add_details()->PackFrom(quota);
  } else if (!detail.field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(detail.field);
    violation->set_description(std::string(status.message()));
    rich.add_details()->PackFrom(bad);
  }
  if (detail.retry_after_seconds > 0) {
    google::rpc::RetryInfo retry;
    const double whole = std::floor(detail.retry_after_seconds);
    retry.mutable_retry_delay()->set_seconds(static_cast<int64_t>(whole));
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>((detail.retry_after_seconds - whole) * 1e9));
    rich.add_details()->PackFrom(retry);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), rich.message(), rich.SerializeAsString());
}

const char* StatusLabel(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return "ok";
    case absl::StatusCode::kCancelled:
      return "cancelled";
    case absl::StatusCode::kInvalidArgument:
      return "invalid_argument";
    case absl::StatusCode::kDeadlineExceeded:
      return "deadline_exceeded";
    case absl::StatusCode::kOutOfRange:
      return "out_of_range";
    case absl::StatusCode::kResourceExhausted:
      return "resource_exhausted";
    case absl::StatusCode::kFailedPrecondition:
      return "failed_precondition";
    case absl::StatusCode::kInternal:
      return "internal";
    case absl::StatusCode::kUnavailable:
      return "unavailable";
    case absl::StatusCode::kNotFound:
      return "not_found";
    case absl::StatusCode::kAlreadyExists:
      return "already_exists";
    case absl::StatusCode::kAborted:
      return "aborted";
    case absl::StatusCode::kPermissionDenied:
      return "permission_denied";
    case absl::StatusCode::kDataLoss:
      return "data_loss";
    case absl::StatusCode::kUnauthenticated:
      return "unauthenticated";
    default:
      return "unknown";
  }
}

}  // namespace barista
