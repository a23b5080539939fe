// Monotonic time, as an interface so that tests can hold it still.
#pragma once

#include <chrono>

namespace barista {

using TimePoint = std::chrono::steady_clock::time_point;
using Seconds = std::chrono::duration<double>;

inline double SecondsBetween(TimePoint from, TimePoint to) { return Seconds(to - from).count(); }

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace barista
