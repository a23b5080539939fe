// What every call shares at its beginning and its end: the deadline, and the counting of outcomes.
#pragma once

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/rpc/serving.h"
#include "server/rpc/status_map.h"

namespace barista {

// The caller's deadline on the monotonic clock, cut to limits.deadline_seconds_max from now.
TimePoint DeadlineOf(const grpc::CallbackServerContext& context, const Serving& serving);

// From when on a caller that leaves has run out of time rather than changed its mind: gRPC tells the server both in the
// same way. A little before the deadline as the server knows it, for gRPC rounds it up by as much as 1 % on its way
// here.
TimePoint GivesUpAt(const grpc::CallbackServerContext& context);

// Counts a call's outcome, once.
void RecordEnd(const absl::Status& status, Metrics& metrics);
// Counts it as refused, too, where it wanted a slot for a session and there was none, or its tenant may have no more.
// (The engine counts its own calls.)
void RecordNoSlot(const absl::Status& status, Metrics& metrics);

}  // namespace barista
