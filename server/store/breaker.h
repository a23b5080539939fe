// Keeps callers from waiting again and again for something that does not answer: after a failure nothing is tried for a
// pause, which doubles with each further failure; then one call is let through, and its outcome decides.
#pragma once

#include <algorithm>
#include <chrono>

namespace barista {

class Breaker {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kPauseMin{200};
  static constexpr std::chrono::milliseconds kPauseMax{2000};

  // How long nothing is to be tried yet; zero: the next call may go.
  std::chrono::milliseconds Pause(TimePoint now) const {
    if (pause_.count() == 0 || now >= until_) return std::chrono::milliseconds(0);
    return std::chrono::ceil<std::chrono::milliseconds>(until_ - now);
  }
  void Succeeded() { pause_ = std::chrono::milliseconds(0); }
  void Failed(TimePoint now) {
    pause_ = std::clamp(2 * pause_, kPauseMin, kPauseMax);
    until_ = now + pause_;
  }

 private:
  std::chrono::milliseconds pause_{0};
  TimePoint until_;
};

}  // namespace barista
