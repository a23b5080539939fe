// A clock that stands still until told.
#pragma once

#include <atomic>

#include "server/engine/clock.h"

namespace barista {

class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(std::chrono::nanoseconds(nanoseconds_)); }
  void Advance(Seconds seconds) {
    nanoseconds_ += std::chrono::duration_cast<std::chrono::nanoseconds>(seconds).count();
  }

 private:
  std::atomic<int64_t> nanoseconds_ = int64_t{1'000'000'000'000};
};

}  // namespace barista
