#include "server/rpc/call_end.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "server/engine/error.h"

namespace barista {

TimePoint DeadlineOf(const grpc::CallbackServerContext& context, const Serving& serving) {
  const double left = Seconds(context.deadline() - std::chrono::system_clock::now()).count();
  const double seconds = std::clamp(left, 0.0, serving.limits.deadline_seconds_max);
  return std::chrono::steady_clock::now() + std::chrono::duration_cast<TimePoint::duration>(Seconds(seconds));
}

TimePoint GivesUpAt(const grpc::CallbackServerContext& context) {
  const Seconds left = context.deadline() - std::chrono::system_clock::now();
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<TimePoint::duration>(0.99 * left - Seconds(0.005));
}

void RecordEnd(const absl::Status& status, Metrics& metrics) {
  metrics.requests(StatusLabel(status)).Increment();
  if (!status.ok()) metrics.errors(absl::AsciiStrToLower(Name(DetailOf(status).reason))).Increment();
}

void RecordNoSlot(const absl::Status& status, Metrics& metrics) {
  if (status.ok()) return;
  const ErrorReason reason = DetailOf(status).reason;
  if (reason != ErrorReason::kSessionsMax && reason != ErrorReason::kTenantLimit) return;
  metrics.admission_refusals(absl::AsciiStrToLower(Name(reason))).Increment();
}

}  // namespace barista
