// Whether the process lives and whether it serves, as probes ask. Any thread; never blocks.
#pragma once

#include <atomic>
#include <chrono>

#include "absl/status/status.h"

namespace barista {

class Health {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // A step that takes longer hangs, whatever computes it.
  static constexpr std::chrono::seconds kStepMax{60};

  enum class Phase { kLoading, kServing, kDraining };
  void Enter(Phase phase) { phase_ = phase; }
  // The engine's thread, around each step.
  void StepBegins(TimePoint now) { step_began_ = now; }
  void StepEnded() { step_began_ = TimePoint(); }
  // When the step under way began; TimePoint() between steps.
  TimePoint step_began() const { return step_began_; }

  // Unavailable with one line of reason: the step under way takes longer than kStepMax.
  absl::Status Live(TimePoint now) const;
  // Unavailable with one line of reason: the model is being loaded, or the server drains.
  absl::Status Ready() const;

 private:
  std::atomic<Phase> phase_ = Phase::kLoading;
  std::atomic<TimePoint> step_began_ = TimePoint();
};

}  // namespace barista
