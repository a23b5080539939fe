// One request on its way through the engine, shared by the engine's thread and the caller's: the request, the bounded
// outbox of events, and the wish to cancel.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/engine/durable.h"
#include "server/engine/event.h"
#include "server/engine/request.h"

namespace barista {

class Engine;

class Call {
 public:
  // `on_events`: called by the thread that pushes, without locks held, when the outbox was empty and now is not. It
  // must not block. outbox_events_max: the outbox counts as full from here on; the engine then pauses this call alone.
  Call(Request request, size_t outbox_events_max, std::function<void()> on_events)
      : request_(std::move(request)), outbox_events_max_(outbox_events_max), on_events_(std::move(on_events)) {}

  const Request& request() const { return request_; }

  enum class Cancelled {
    kNo,
    kByCaller,
    kByDeadline,  // the caller left because its time was over
  };

  // Any thread. The engine frees the call's slots after the step under way, on a card also the one that was launched
  // behind it, and sends Finished(Cancelled), or Finished(DeadlineExceeded) for kByDeadline. The first `why` holds.
  void Cancel(Cancelled why = Cancelled::kByCaller) {
    Cancelled none = Cancelled::kNo;
    cancelled_.compare_exchange_strong(none, why, std::memory_order_acq_rel);
  }
  Cancelled cancelled() const { return cancelled_.load(std::memory_order_acquire); }

  // Any thread, of a kAppend request: more of what is appended; `last`: nothing follows. Then wake the engine.
  void Feed(absl::Span<const int32_t> tokens, bool last);
  // Engine. Moves what was fed behind `tokens`; true: nothing follows.
  bool TakeFed(std::vector<int32_t>& tokens);

  // Reader. The oldest event, or nothing. `resumed` becomes true where the outbox was full and now has room: the reader
  // then wakes the engine.
  std::optional<Event> Pop(bool& resumed);

  // Engine. The call is in this one from now on.
  void RunsIn(Engine& engine) { engine_ = &engine; }
  // Any thread, while the engine lives: as Engine::Wake.
  void WakeEngine() const;

  // Engine. The call runs on a session with this past.
  void RunsOn(std::shared_ptr<const DurablePast> past);
  // Any thread. Tokens of that past that a snapshot has; 0: none known, or no session.
  int64_t durable_position() const;

  // Engine's thread; Finished from any. Nothing follows Finished: what is pushed after it is dropped.
  void Push(Event event);
  // Whether `events` more would fill the outbox. Events pushed while full are kept (the last step's tokens, Finished).
  bool full(size_t events) const;

 private:
  const Request request_;
  const size_t outbox_events_max_;
  const std::function<void()> on_events_;
  std::atomic<Cancelled> cancelled_ = Cancelled::kNo;
  std::atomic<Engine*> engine_ = nullptr;
  mutable absl::Mutex mutex_;
  std::deque<Event> outbox_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const DurablePast> durable_ ABSL_GUARDED_BY(mutex_);
  std::vector<int32_t> fed_ ABSL_GUARDED_BY(mutex_);
  bool fed_last_ ABSL_GUARDED_BY(mutex_) = false;
  mutable bool reported_full_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace barista
