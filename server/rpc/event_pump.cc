#include "server/rpc/event_pump.h"

namespace barista {

absl::Status EventPump::Submit(Request request, std::function<void()> on_events) {
  {
    absl::MutexLock lock(&link_->mutex);
    link_->on_events = std::move(on_events);
  }
  absl::StatusOr<std::shared_ptr<Call>> call;
  absl::MutexLock lock(&mutex_);
  call = engines_.Submit(std::move(request), [link = link_, &delivery = delivery_] {
    delivery.Run([link] {
      absl::MutexLock link_lock(&link->mutex);
      if (link->on_events) link->on_events();
    });
  });
  if (!call.ok()) return call.status();
  call_ = *std::move(call);
  if (cancelled_ != Call::Cancelled::kNo) call_->Cancel(cancelled_);
  return absl::OkStatus();
}

std::optional<Event> EventPump::Next() {
  bool resumed = false;
  Call& from = call();
  std::optional<Event> event = from.Pop(resumed);
  if (resumed) from.WakeEngine();
  return event;
}

Call& EventPump::call() const {
  absl::MutexLock lock(&mutex_);  // the engine may report events before Submit has returned
  return *call_;
}

void EventPump::Feed(absl::Span<const int32_t> tokens, bool last) {
  Call& to = call();
  to.Feed(tokens, last);
  to.WakeEngine();
}

void EventPump::Cancel() {
  absl::MutexLock lock(&mutex_);
  if (cancelled_ == Call::Cancelled::kNo) {
    const bool late = std::chrono::steady_clock::now() >= gives_up_at_;
    cancelled_ = late ? Call::Cancelled::kByDeadline : Call::Cancelled::kByCaller;
  }
  if (call_ == nullptr) return;
  call_->Cancel(cancelled_);
  call_->WakeEngine();
}

void EventPump::Detach() {
  absl::MutexLock lock(&link_->mutex);
  link_->on_events = nullptr;
}

}  // namespace barista
