#include "server/observe/health.h"

#include "absl/strings/str_cat.h"

namespace barista {

absl::Status Health::Live(TimePoint now) const {
  const TimePoint began = step_began_;
  if (began == TimePoint() || now - began <= kStepMax) return absl::OkStatus();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - began).count();
  return absl::UnavailableError(absl::StrCat("the engine hangs: its step has taken ", seconds, " s so far"));
}

absl::Status Health::Ready() const {
  switch (phase_.load()) {
    case Phase::kLoading:
      return absl::UnavailableError("loading");
    case Phase::kServing:
      return absl::OkStatus();
    case Phase::kDraining:
      return absl::UnavailableError("draining");
  }
  return absl::OkStatus();
}

}  // namespace barista
