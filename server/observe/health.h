// Whether the process lives and whether it serves, as probes ask. Any thread; never blocks.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace barista {

// When the step of one engine began.
class StepClock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // The engine's thread, around each step.
  void Begins(TimePoint now) { began_ = now; }
  void Ended() { began_ = TimePoint(); }
  // Of the step under way; TimePoint() between steps.
  TimePoint began() const { return began_; }

 private:
  std::atomic<TimePoint> began_ = TimePoint();
};

class Health {
 public:
  using TimePoint = StepClock::TimePoint;
  // A step that takes longer hangs, whatever computes it.
  static constexpr std::chrono::seconds kStepMax{60};

  enum class Phase { kLoading, kServing, kDraining };
  void Enter(Phase phase) { phase_ = phase; }
  // One more engine, whose clock it is.
  StepClock& AddEngine() ABSL_LOCKS_EXCLUDED(mutex_);
  // When the step under way in each engine began.
  std::vector<TimePoint> steps_began() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Unavailable with one line of reason: a step under way takes longer than kStepMax.
  absl::Status Live(TimePoint now) const;
  // Unavailable with one line of reason: the model is being loaded, or the server drains.
  absl::Status Ready() const;

 private:
  std::atomic<Phase> phase_ = Phase::kLoading;
  mutable absl::Mutex mutex_;
  std::deque<StepClock> clocks_ ABSL_GUARDED_BY(mutex_);  // each stays where it is
};

}  // namespace barista
