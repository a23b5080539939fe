// A channel to Redis that misbehaves as networks do, by a seed: calls that never arrive, replies that never come, and
// calls that arrive long after their sender gave up.
#pragma once

#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/store/redis_channel.h"

namespace barista {

class FaultyChannel final : public RedisChannel {
 public:
  FaultyChannel(std::unique_ptr<RedisChannel> inner, uint64_t seed) : inner_(std::move(inner)), random_(seed) {}

  // Of `percent` of the calls one fault, any of the three.
  void SetFaults(int percent) { percent_ = percent; }
  // The next call is executed, and its reply lost.
  void LoseNextReply() { forced_ = Fault::kReplyLost; }
  // The next call arrives only with DeliverLate.
  void DelayNextCall() { forced_ = Fault::kLate; }
  // Executes the oldest call that is still under way; false where there is none.
  bool DeliverLate() {
    if (late_.empty()) return false;
    const std::vector<std::string> words = std::move(late_.front());
    late_.pop_front();
    const std::vector<absl::string_view> views(words.begin(), words.end());
    [[maybe_unused]] const auto ignored = inner_->Call(views);
    return true;
  }

  absl::StatusOr<RedisValue> Call(absl::Span<const absl::string_view> words) override {
    if (percent_ > 0 && Below(4) == 0) DeliverLate();
    const Fault fault = forced_ != Fault::kNone ? std::exchange(forced_, Fault::kNone) : Draw();
    if (fault == Fault::kLate) late_.emplace_back(words.begin(), words.end());
    if (fault == Fault::kLate || fault == Fault::kNotSent) return absl::UnavailableError("a fault: not sent");
    absl::StatusOr<RedisValue> reply = inner_->Call(words);
    if (fault == Fault::kReplyLost) return absl::UnavailableError("a fault: no reply");
    return reply;
  }

 private:
  enum class Fault { kNone, kNotSent, kReplyLost, kLate };

  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  Fault Draw() { return Below(100) < percent_ ? static_cast<Fault>(1 + Below(3)) : Fault::kNone; }

  const std::unique_ptr<RedisChannel> inner_;
  std::mt19937_64 random_;
  int percent_ = 0;
  Fault forced_ = Fault::kNone;
  std::deque<std::vector<std::string>> late_;
};

}  // namespace barista
