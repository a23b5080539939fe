#include "server/observe/health.h"

#include "absl/strings/str_cat.h"

namespace barista {

StepClock& Health::AddEngine() {
  absl::MutexLock lock(&mutex_);
  return clocks_.emplace_back();
}

std::vector<Health::TimePoint> Health::steps_began() const {
  absl::MutexLock lock(&mutex_);
  std::vector<TimePoint> began;
  for (const StepClock& clock : clocks_) began.push_back(clock.began());
  return began;
}

absl::Status Health::Live(TimePoint now) const {
  for (const TimePoint began : steps_began()) {
    if (began == TimePoint() || now - began <= kStepMax) continue;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - began).count();
    return absl::UnavailableError(absl::StrCat("the engine hangs: its step has taken ", seconds, " s so far"));
  }
  return absl::OkStatus();
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
