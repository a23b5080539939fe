#include "server/observe/health.h"

#include "absl/strings/str_cat.h"

namespace barista {

absl::Status Health::Live(TimePoint now) const {
  const TimePoint last = last_pass_;
  if (last == TimePoint() || now - last <= kPassMax) return absl::OkStatus();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - last).count();
  return absl::UnavailableError(absl::StrCat("the engine hangs: no pass of its loop for ", seconds, " s"));
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
