#include "server/observe/watchdog.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"

namespace barista {

bool StepLooks::Look(Health::TimePoint began) {
  looks_ = began == began_ && began != Health::TimePoint() ? looks_ + 1 : 0;
  began_ = began;
  return looks_ >= kLooks;
}

Watchdog::Watchdog(const Health& health, std::chrono::duration<double> step_max, std::function<void()> on_hang)
    : thread_([this, &health,
               interval = std::max(absl::Seconds(step_max.count()) / StepLooks::kLooks, absl::Milliseconds(1)),
               on_hang = std::move(on_hang)] { Run(health, interval, on_hang); }) {}

Watchdog::~Watchdog() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.Signal();
  }
  thread_.join();
}

void Watchdog::Run(const Health& health, absl::Duration interval, const std::function<void()>& on_hang) {
  StepLooks looks;
  while (!looks.Look(health.step_began())) {
    absl::MutexLock lock(&mutex_);
    if (!stop_) wake_.WaitWithTimeout(&mutex_, interval);
    if (stop_) return;
  }
  on_hang();
}

}  // namespace barista
