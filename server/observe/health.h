// Whether the process lives and whether it serves, as probes ask. Any thread; never blocks.
#pragma once

#include <atomic>
#include <chrono>

#include "absl/status/status.h"

namespace barista {

class Health {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // A pass of the engine's loop that takes longer hangs: a step takes seconds at most.
  static constexpr std::chrono::seconds kPassMax{60};

  enum class Phase { kLoading, kServing, kDraining };
  void Enter(Phase phase) { phase_ = phase; }
  // The engine's thread, at the beginning of each pass of its loop; it makes one a second at least.
  void EnginePassed(TimePoint now) { last_pass_ = now; }

  // Unavailable with one line of reason: the engine's thread has made no pass for kPassMax.
  absl::Status Live(TimePoint now) const;
  // Unavailable with one line of reason: the model is being loaded, or the server drains.
  absl::Status Ready() const;

 private:
  std::atomic<Phase> phase_ = Phase::kLoading;
  std::atomic<TimePoint> last_pass_ = TimePoint();  // none yet
};

}  // namespace barista
