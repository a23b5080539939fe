#include "server/observe/watchdog.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace barista {

bool StepLooks::Look(Health::TimePoint began) {
  looks_ = began == began_ && began != Health::TimePoint() ? looks_ + 1 : 0;
  began_ = began;
  return looks_ >= kLooks;
}

Watchdog::Watchdog(const Health& health, std::chrono::duration<double> step_max, std::function<void(int)> on_hang)
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

void Watchdog::Run(const Health& health, absl::Duration interval, const std::function<void(int)>& on_hang) {
  std::vector<StepLooks> looks(health.steps_began().size());
  while (true) {
    const std::vector<Health::TimePoint> began = health.steps_began();
    for (size_t engine = 0; engine < looks.size(); ++engine) {
      if (looks[engine].Look(began[engine])) return on_hang(static_cast<int>(engine));
    }
    absl::MutexLock lock(&mutex_);
    if (!stop_) wake_.WaitWithTimeout(&mutex_, interval);
    if (stop_) return;
  }
}

}  // namespace barista
