// Sees a step that does not end. A device that hangs stops the engine's thread with it, so this looks from its own.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/observe/health.h"

namespace barista {

// Whether one step is seen again and again. Looks are counted, not time: a process that was stopped for a minute
// (SIGSTOP, a frozen machine) has no hung step, but one look more.
class StepLooks {
 public:
  static constexpr int kLooks = 20;  // after the first one
  // began: of the step under way, as Health tells it. True once the same step was seen kLooks times after the first.
  bool Look(Health::TimePoint began);

 private:
  Health::TimePoint began_;
  int looks_ = 0;
};

class Watchdog {
 public:
  // step_max > 0: how long a step may take; it is seen at the latest a tenth after that. on_hang: once, from the
  // watchdog's thread, with the number of the engine. Health has all its engines, and outlives the watchdog.
  Watchdog(const Health& health, std::chrono::duration<double> step_max, std::function<void(int engine)> on_hang);
  ~Watchdog();  // waits for on_hang, where it runs

 private:
  void Run(const Health& health, absl::Duration interval, const std::function<void(int)>& on_hang);

  absl::Mutex mutex_;
  absl::CondVar wake_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace barista
