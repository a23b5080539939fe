#include "server/engine/engine.h"

#include <algorithm>
#include <utility>

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
      sessions_(slots_, pool, model.state_layout()),
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
  RunPosted();
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
  const size_t outbox_events_max = std::max(options_.outbox_events_max, StepEventsMax(request));
  const bool kept = !request.session.empty();  // it has its slot, and waits for none
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
  } else if (!kept && waiting_count_ >= options_.queue_requests_max + slots_available_) {
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
  if (!kept) metrics_.num_requests_waiting.Set(static_cast<double>(++waiting_count_));
  wake_.Signal();
  return call;
}

absl::Status Engine::Post(std::function<void(SessionTable&)> work) {
  absl::MutexLock lock(&mutex_);
  if (draining_) {
    return MakeError({.reason = ErrorReason::kDraining, .retry_after_seconds = 1},
                     "the server is shutting down and takes no new calls");
  }
  posted_.push_back(std::move(work));
  woken_ = true;
  wake_.Signal();
  return absl::OkStatus();
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

void Engine::RunPosted() {
  std::vector<std::function<void(SessionTable&)>> posted;
  {
    absl::MutexLock lock(&mutex_);
    posted.swap(posted_);
  }
  for (const auto& work : posted) work(sessions_);
}

void Engine::TakeSubmitted() {
  std::deque<ActiveCall> submitted;
  {
    absl::MutexLock lock(&mutex_);
    submitted.swap(submitted_);
  }
  for (ActiveCall& active : submitted) {
    if (active.request().session.empty()) {
      waiting_.push_back(std::move(active));
    } else {
      TakeSession(std::move(active));  // it has a slot already
    }
  }
}

void Engine::TakeSession(ActiveCall submitted) {
  auto active = std::make_unique<ActiveCall>(std::move(submitted));
  const Request& request = active->request();
  Sequence& sequence = active->choices[0].sequence;
  const absl::StatusOr<Session*> session = sessions_.Take(request.session, sequence);
  if (!session.ok()) return End(*active, session.status());
  active->session = *session;
  active->opening = sequence.tokens() == 0;
  if (request.kind == RequestKind::kAppend) {
    active->appended = active->opening ? request.opening : request.prompt;
    return Begin(std::move(active));
  }
  const int64_t prompt = static_cast<int64_t>(active->prompt().size());
  active->settling = sequence.pending >= 0 && prompt > 0;
  if (active->opening && prompt == 0) {
    return End(*active,
               FieldError("text", absl::StrCat("a prompt is required: sessions/", request.session, " is empty")));
  }
  const int64_t positions = sequence.tokens() + prompt + request.stop.max_tokens, limit = options_.positions_max;
  if (limit > 0 && positions > limit) {
    return End(*active, MakeError({.reason = ErrorReason::kPositionOutOfRange, .field = "stop.max_tokens"},
                                  absl::StrCat("stop.max_tokens: ", sequence.tokens(), " tokens in the session, ",
                                               prompt, " in the prompt and max_tokens ", request.stop.max_tokens,
                                               " pass the model's last position, ", limit)));
  }
  Begin(std::move(active));
}

void Engine::TakeFed() {
  for (const std::unique_ptr<ActiveCall>& owned : running_) {
    ActiveCall& active = *owned;
    if (active.ended || active.request().kind != RequestKind::kAppend) continue;
    active.appended.erase(active.appended.begin(), active.appended.begin() + active.prompt_done);
    active.dropped += std::exchange(active.prompt_done, 0);
    active.fed_last = active.call->TakeFed(active.appended);
    const Sequence& sequence = active.choices[0].sequence;
    const int64_t positions = sequence.tokens() + static_cast<int64_t>(active.appended.size());
    if (options_.positions_max > 0 && positions > options_.positions_max) {
      End(active, MakeError({.reason = ErrorReason::kPositionOutOfRange},
                            absl::StrCat("position ", positions, " would pass the model's last, ",
                                         options_.positions_max, "; the session is at ", sequence.tokens())));
      continue;
    }
    active.settling = sequence.pending >= 0 && !active.appended.empty();
    if (active.fed_last && active.appended.empty()) {
      active.prefilled = clock_.Now();
      End(active, absl::OkStatus());
    }
  }
  RemoveEnded();
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
  RefuseHopeless();
  while (!waiting_.empty() && static_cast<int32_t>(waiting_.front().choices.size()) <= slots_.available()) {
    auto active = std::make_unique<ActiveCall>(std::move(waiting_.front()));
    waiting_.pop_front();
    for (Choice& choice : active->choices) choice.sequence.lease = *slots_.Acquire();
    Begin(std::move(active));
  }
}

void Engine::RefuseHopeless() {
  const int32_t left = slots_.total() - sessions_.size();
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const int32_t wanted = static_cast<int32_t>(it->choices.size());
    if (wanted <= left) {
      ++it;
      continue;
    }
    metrics_.admission_refusals(absl::AsciiStrToLower(Name(ErrorReason::kSessionsMax))).Increment();
    End(*it, MakeError({.reason = ErrorReason::kSessionsMax, .retry_after_seconds = 1},
                       absl::StrCat(sessions_.size(), " of ", slots_.total(), " slots are kept by sessions, and ",
                                    wanted, wanted == 1 ? " is" : " are", " wanted")));
    it = waiting_.erase(it);
  }
}

void Engine::Begin(std::unique_ptr<ActiveCall> active) {
  const StopParams& stop = active->request().stop;
  active->end_ids = model_.config().eos_token_ids;
  active->eos_ids = active->end_ids.size();
  active->end_ids.insert(active->end_ids.end(), stop.stop_token_ids.begin(), stop.stop_token_ids.end());
  for (Choice& choice : active->choices) {
    if (active->request().speculation_tokens > 0) {
      choice.speculation = std::make_unique<Speculation>(active->request().speculation_tokens);
      if (choice.sequence.pending >= 0) choice.speculation->Push(choice.sequence.pending);
      choice.speculation->Read(active->prompt());
    }
    if (tokenizer_ == nullptr) continue;
    TextStreamState text;
    if (active->prompt().empty()) text.detokenizer = choice.sequence.decoded;  // the text goes on
    // Below min_tokens no stop string is looked for.
    choice.text = std::make_unique<TextStream>(
        *tokenizer_, stop.min_tokens == 0 ? stop.stop_strings : std::make_shared<const StopStrings>(), text);
  }
  active->admitted = clock_.Now();
  const bool waited = active->request().session.empty();
  const bool goes_on = active->prompt().empty() && active->request().kind == RequestKind::kGenerate;
  if (goes_on) active->prefilled = active->admitted;
  metrics_.request_queue_time_seconds.Observe(SecondsBetween(active->arrived, active->admitted));
  running_.push_back(std::move(active));
  absl::MutexLock lock(&mutex_);
  if (waited) --waiting_count_;
  slots_available_ = slots_.available();
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
