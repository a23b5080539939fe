#include "server/engine/call.h"

#include "server/engine/engine.h"

namespace barista {

void Call::WakeEngine() const { engine_.load()->Wake(); }

void Call::Feed(absl::Span<const int32_t> tokens, bool last) {
  absl::MutexLock lock(&mutex_);
  fed_.insert(fed_.end(), tokens.begin(), tokens.end());
  fed_last_ = last;
}

bool Call::TakeFed(std::vector<int32_t>& tokens) {
  absl::MutexLock lock(&mutex_);
  tokens.insert(tokens.end(), fed_.begin(), fed_.end());
  fed_.clear();
  return fed_last_;
}

std::optional<Event> Call::Pop(bool& resumed) {
  absl::MutexLock lock(&mutex_);
  resumed = false;
  if (outbox_.empty()) return std::nullopt;
  Event event = std::move(outbox_.front());
  outbox_.pop_front();
  // Half empty, not just one place free: a slow reader should not wake the engine for every event.
  if (reported_full_ && outbox_.size() <= outbox_events_max_ / 2) {
    reported_full_ = false;
    resumed = true;
  }
  return event;
}

void Call::RunsOn(std::shared_ptr<const DurablePast> past) {
  absl::MutexLock lock(&mutex_);
  durable_ = std::move(past);
}

int64_t Call::durable_position() const {
  absl::MutexLock lock(&mutex_);
  return durable_ == nullptr ? 0 : durable_->tokens();
}

void Call::Push(Event event) {
  bool was_empty;
  {
    absl::MutexLock lock(&mutex_);
    if (finished_) return;
    finished_ = std::holds_alternative<Finished>(event);
    was_empty = outbox_.empty();
    outbox_.push_back(std::move(event));
  }
  if (was_empty) on_events_();
}

bool Call::full(size_t events) const {
  absl::MutexLock lock(&mutex_);
  // Once full, the call stays paused until the reader has emptied half.
  if (outbox_.size() + events > outbox_events_max_) reported_full_ = true;
  return reported_full_;
}

}  // namespace barista
