#include "server/engine/engine.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/engine/error.h"

namespace barista {

Engine::Engine(Model& model, StatePool& pool, const Tokenizer* tokenizer, Metrics& metrics, const Clock& clock,
               const EngineOptions& options)
    : model_(model),
      pool_(pool),
      tokenizer_(tokenizer),
      metrics_(metrics),
      clock_(clock),
      options_(options),
      slots_(pool, options.poison_freed_slots),
      pace_(options.step_target_seconds, model.options().rows_max) {
  const int64_t rows = model.options().rows_max;
  plan_.reserve(rows);
  segments_.reserve(rows);
  tokens_.reserve(rows);
  {
    absl::MutexLock lock(&mutex_);
    slots_available_ = slots_.available();
  }
  const int64_t bytes = model.state_layout().bytes_per_session();
  metrics_.sessions_max.Set(slots_.total());
  metrics_.bytes_per_session.Set(static_cast<double>(bytes));
  metrics_.weight_bytes.Set(static_cast<double>(model.weights().bytes));
}

Engine::~Engine() { Stop(); }

void Engine::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Engine::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    draining_ = stop_ = true;
    wake_.Signal();
  }
  if (thread_.joinable()) thread_.join();
  TakeSubmitted();
  const absl::Status stopped = MakeError({.reason = ErrorReason::kDraining}, "the server is shutting down");
  for (ActiveCall& active : waiting_) End(active, stopped);
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (!active->ended) End(*active, stopped);
  }
  waiting_.clear();
  running_.clear();
}

absl::StatusOr<std::shared_ptr<Call>> Engine::Submit(Request request, std::function<void()> on_events) {
  ActiveCall active;
  active.arrived = clock_.Now();
  const int32_t n = request.n;
  // What one step may send always fits in an empty outbox (Plan), or the call would never run.
  const size_t outbox_events_max = std::max<size_t>(options_.outbox_events_max, n + 2);
  active.call = std::make_shared<Call>(std::move(request), outbox_events_max, std::move(on_events));
  active.choices.resize(n);

  absl::MutexLock lock(&mutex_);
  absl::Status refused;
  if (draining_) {
    refused = MakeError({.reason = ErrorReason::kDraining, .retry_after_seconds = 1},
                        "the server is shutting down and takes no new calls");
  } else if (n > slots_.total()) {
    refused = MakeError({.reason = ErrorReason::kSessionsMax},
                        absl::StrCat("n = ", n, " needs as many slots; this server has ", slots_.total()));
  } else if (waiting_count_ >= options_.queue_requests_max + slots_available_) {
    refused =
        MakeError({.reason = ErrorReason::kQueueFull, .retry_after_seconds = 1},
                  absl::StrCat(waiting_count_, " requests are waiting already, limit ", options_.queue_requests_max));
  }
  if (!refused.ok()) {
    metrics_.admission_refusals(absl::AsciiStrToLower(Name(DetailOf(refused).reason))).Increment();
    return refused;
  }
  std::shared_ptr<Call> call = active.call;
  submitted_.push_back(std::move(active));
  ++in_engine_;
  metrics_.num_requests_waiting.Set(static_cast<double>(++waiting_count_));
  wake_.Signal();
  return call;
}

void Engine::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
  wake_.Signal();
}

void Engine::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
}

bool Engine::idle() const {
  absl::MutexLock lock(&mutex_);
  return in_engine_ == 0;
}

void Engine::Run() {
  while (true) {
    const bool worked = Step();
    absl::MutexLock lock(&mutex_);
    if (stop_) return;
    if (!worked && submitted_.empty() && !woken_) {
      // Deadlines of calls that wait or are paused are looked at this often when nothing else happens.
      wake_.WaitWithTimeout(&mutex_, in_engine_ > 0 ? absl::Milliseconds(20) : absl::Seconds(1));
    }
    woken_ = false;
  }
}

void Engine::TakeSubmitted() {
  absl::MutexLock lock(&mutex_);
  for (ActiveCall& active : submitted_) waiting_.push_back(std::move(active));
  submitted_.clear();
}

void Engine::Reap() {
  const TimePoint now = clock_.Now();
  const auto reason_to_end = [now](const ActiveCall& active) -> absl::Status {
    const Call::Cancelled cancelled = active.call->cancelled();
    if (cancelled == Call::Cancelled::kByCaller) {
      return MakeError({.reason = ErrorReason::kCancelled}, "cancelled by the caller");
    }
    if (cancelled == Call::Cancelled::kByDeadline || now >= active.request().deadline) {
      return MakeError({.reason = ErrorReason::kDeadline}, "the deadline passed");
    }
    return absl::OkStatus();
  };
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const absl::Status status = reason_to_end(*it);
    if (!status.ok()) End(*it, status);
    it = status.ok() ? it + 1 : waiting_.erase(it);
  }
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (active->ended) continue;
    if (const absl::Status status = reason_to_end(*active); !status.ok()) End(*active, status);
  }
  RemoveEnded();
}

void Engine::Admit() {
  while (!waiting_.empty() && static_cast<int32_t>(waiting_.front().choices.size()) <= slots_.available()) {
    auto active = std::make_unique<ActiveCall>(std::move(waiting_.front()));
    waiting_.pop_front();
    const StopParams& stop = active->request().stop;
    active->end_ids = model_.config().eos_token_ids;
    active->eos_ids = active->end_ids.size();
    active->end_ids.insert(active->end_ids.end(), stop.stop_token_ids.begin(), stop.stop_token_ids.end());
    for (Choice& choice : active->choices) {
      choice.lease = *slots_.Acquire();
      if (tokenizer_ == nullptr) continue;
      // Below min_tokens no stop string is looked for.
      choice.text = std::make_unique<TextStream>(
          *tokenizer_, stop.min_tokens == 0 ? stop.stop_strings : std::make_shared<const StopStrings>());
    }
    active->admitted = clock_.Now();
    metrics_.request_queue_time_seconds.Observe(SecondsBetween(active->arrived, active->admitted));
    running_.push_back(std::move(active));
    absl::MutexLock lock(&mutex_);
    --waiting_count_;
    slots_available_ = slots_.available();
  }
}

void Engine::RemoveEnded() {
  running_.erase(std::remove_if(running_.begin(), running_.end(), [](const auto& active) { return active->ended; }),
                 running_.end());
}

void Engine::UpdateGauges() {
  metrics_.num_requests_running.Set(static_cast<double>(running_.size()));
  metrics_.sessions_device.Set(slots_.used());
  metrics_.state_bytes_device.Set(static_cast<double>(slots_.used() * model_.state_layout().bytes_per_session()));
  absl::MutexLock lock(&mutex_);
  slots_available_ = slots_.available();
  metrics_.num_requests_waiting.Set(static_cast<double>(waiting_count_));
}

}  // namespace barista
