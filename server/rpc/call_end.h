// What every call shares at its beginning and its end: the deadline, and the counting of outcomes.
#pragma once

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/rpc/serving.h"
#include "server/rpc/status_map.h"

namespace barista {

// The caller's deadline on the monotonic clock, cut to limits.deadline_seconds_max from now.
TimePoint DeadlineOf(const grpc::CallbackServerContext& context, const Serving& serving);

// Counts a call's outcome, once.
void RecordEnd(const absl::Status& status, Metrics& metrics);

}  // namespace barista
