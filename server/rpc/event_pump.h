// The link between one call in the engine and the reactor that answers it. The engine may report events while the
// reactor is being destroyed; the pump makes that safe: after Detach no callback runs or will run.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/serving.h"

namespace barista {

class EventPump {
 public:
  // `gives_up_at`: a Cancel from then on counts as a deadline that passed (call_end.h).
  EventPump(const Serving& serving, TimePoint gives_up_at)
      : engines_(serving.engines),
        delivery_(serving.delivery),
        gives_up_at_(gives_up_at),
        link_(std::make_shared<Link>()) {}

  // `on_events` runs on the delivery worker when events wait; it must not block. Errors: those of Engine::Submit.
  absl::Status Submit(Request request, std::function<void()> on_events);

  // The next event, or nothing now. Finished is the last.
  std::optional<Event> Next();
  // As Call::Feed.
  void Feed(absl::Span<const int32_t> tokens, bool last);
  void Cancel();  // any thread, also before Submit and after the end
  void Detach();

  const Request& request() const { return call().request(); }

 private:
  struct Link {
    absl::Mutex mutex;
    std::function<void()> on_events ABSL_GUARDED_BY(mutex);
  };

  Call& call() const;

  Engines& engines_;
  Worker& delivery_;
  const TimePoint gives_up_at_;
  std::shared_ptr<Link> link_;
  mutable absl::Mutex mutex_;
  Call::Cancelled cancelled_ ABSL_GUARDED_BY(mutex_) = Call::Cancelled::kNo;
  std::shared_ptr<Call> call_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace barista
