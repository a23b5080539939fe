// The one place where an error of ours becomes a gRPC status with google.rpc details: one ErrorInfo (reason of
// barista.v1.ErrorReason, domain "barista"), a BadRequest where a field is to blame, a QuotaFailure where a
// tenant's limit is, a RetryInfo where waiting helps.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace barista {

grpc::Status ToGrpcStatus(const absl::Status& status);

// "ok", "invalid_argument", …: the metrics' label of a status.
const char* StatusLabel(const absl::Status& status);

}  // namespace barista
