#include "server/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "server/engine/error.h"

namespace barista {
namespace {

TierOptions WithDefaults(TierOptions options, Worker& fallback, std::function<void(const std::string&)> elsewhere) {
  for (Worker** worker : {&options.device_worker, &options.directory_worker, &options.registry_worker}) {
    if (*worker == nullptr) *worker = &fallback;
  }
  options.elsewhere = std::move(elsewhere);
  return options;
}

absl::Status Draining() {
  return MakeError({.reason = ErrorReason::kDraining, .retry_after_seconds = 1},
                   "the server is shutting down and takes no new calls");
}

}  // namespace

Engine::Engine(Model& model, StatePool& pool, const Tokenizer* tokenizer, Metrics& metrics, const Clock& clock,
               const EngineOptions& options)
    : model_(model),
      pool_(pool),
      tokenizer_(tokenizer),
      metrics_(metrics),
      clock_(clock),
      options_(options),
      own_group_(options.group == nullptr
                     ? std::make_unique<EngineGroup>(1, options.checkpoint_bytes, options.prefix_tokens_min)
                     : nullptr),
      group_(options.group == nullptr ? *own_group_ : *options.group),
      gauges_(metrics),
      slots_(pool, options.poison_freed_slots),
      tiers_(WithDefaults(options.tiers, inline_worker_, [this](const std::string& key) { AskElsewhere(key); }), slots_,
             pool, metrics, clock, [this](std::function<void()> work) { PostInternal(std::move(work)); }),
      sessions_(slots_, pool, model.state_layout(), tiers_, options.rewind_tokens_max, group_, options.number),
      tenants_(group_.tenants),
      pace_(options.step_target_seconds, model.options().rows_max),
      latent_meter_(model, options.latent_sample_steps, metrics),
      drift_probe_(options.drift, pool, metrics, clock) {
  group_.engines[options.number] = this;
  group_.tenants.AddPlaces(tiers_.sessions_max());
  model_.backend().BindThread();
  model_.RecordDecodes(pool_);
  tiers_.SetTable(&sessions_);
  const int64_t rows = model.options().rows_max;
  plan_.reserve(rows);
  segments_.reserve(rows);
  tokens_.reserve(rows);
  {
    absl::MutexLock lock(&mutex_);
    slots_free_ = slots_for_calls_ = slots_.available();
  }
  CountAvailable();
  metrics_.bytes_per_session.Set(static_cast<double>(model.state_layout().bytes_per_session()));
  gauges_.sessions_max.Set(slots_.total());
  gauges_.sessions_total_max.Set(static_cast<double>(tiers_.sessions_max()));
  gauges_.weights_bytes.Set(static_cast<double>(model.weights().bytes));
  gauges_.workspace_bytes.Set(static_cast<double>(model.workspace_bytes()));
  gauges_.states_bytes.Set(static_cast<double>(model.state_layout().slot_bytes() * slots_.total()));
}

Engine::~Engine() { Stop(); }

void Engine::Start() {
  thread_ = std::thread([this] { Run(); });
}

absl::StatusOr<std::shared_ptr<Call>> Engine::Submit(Request request, std::function<void()> on_events,
                                                     std::shared_ptr<const SessionHomes::Held> held) {
  ActiveCall active;
  active.arrived = clock_.Now();
  const int32_t n = request.n;
  // What Plan wants room for always fits in an empty outbox, or the call would never run: what one step may send, and a
  // late token of each choice.
  const size_t outbox_events_max =
      std::max(options_.outbox_events_max, StepEventsMax(request) + static_cast<size_t>(n));
  const bool kept = !request.session.empty();
  if (request.kind == RequestKind::kGenerate && request.cache && group_.states.on() && request.start == nullptr &&
      request.prompt_logprobs < 0) {
    const std::vector<int32_t>& prompt = kept ? request.opening : request.prompt;
    if (static_cast<int64_t>(prompt.size()) >= group_.prefixes.tokens_min()) {
      active.keys = group_.prefix_keys.Of(request.tenant, prompt);
    }
  }
  active.call = std::make_shared<Call>(std::move(request), outbox_events_max, std::move(on_events));
  active.call->RunsIn(*this);
  active.choices.resize(n);
  active.held = std::move(held);

  const int64_t room = static_cast<int64_t>(options_.queue_requests_max) + group_.slots_available;
  absl::MutexLock lock(&mutex_);
  absl::Status refused;
  if (draining_) {
    refused = Draining();
  } else if (n > slots_.total()) {
    refused = MakeError({.reason = ErrorReason::kSessionsMax},
                        absl::StrCat("n = ", n, " needs as many slots on one device, which has ", slots_.total()));
  } else if (const int64_t before = kept ? 0 : group_.waiting++; !kept && before >= room) {
    --group_.waiting;
    refused = MakeError({.reason = ErrorReason::kQueueFull, .retry_after_seconds = 1},
                        absl::StrCat(before, " requests are waiting already, limit ", options_.queue_requests_max));
  } else {
    active.queued = static_cast<int64_t>(active.request().prompt.size());
    refused = group_.tenants.Enter(active.request().tenant, n, active.queued);
    if (!refused.ok() && !kept) --group_.waiting;
  }
  if (!refused.ok()) {
    metrics_.admission_refusals(absl::AsciiStrToLower(Name(DetailOf(refused).reason))).Increment();
    return refused;
  }
  std::shared_ptr<Call> call = active.call;
  submitted_.push_back(std::move(active));
  calls_.insert(call);
  streams_ += n;
  slots_asked_ += n;
  metrics_.num_requests_waiting.Set(static_cast<double>(group_.waiting));
  wake_.Signal();
  return call;
}

absl::Status Engine::Post(std::function<void(SessionTable&)> work) {
  absl::MutexLock lock(&mutex_);
  if (draining_) return Draining();
  posted_.push_back([this, work = std::move(work)] { work(sessions_); });
  woken_ = true;
  wake_.Signal();
  return absl::OkStatus();
}

void Engine::PostAlways(std::function<void(SessionTable&)> work) {
  PostInternal([this, work = std::move(work)] { work(sessions_); });
}

void Engine::PostInternal(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  posted_.push_back(std::move(work));
  woken_ = true;
  wake_.Signal();
}

void Engine::Wake() {
  absl::MutexLock lock(&mutex_);
  woken_ = true;
  wake_.Signal();
}

void Engine::Adopt(const StoredSession& stored) {
  const absl::StatusOr<Session*> adopted =
      sessions_.Adopt(stored.key, Tier::kDirectory, stored.tokens, stored.made, stored.used);
  if (adopted.ok()) (*adopted)->epoch = stored.epoch;
  absl::MutexLock lock(&mutex_);
  sessions_count_ = sessions_.size();
}

int64_t Engine::sessions() const {
  absl::MutexLock lock(&mutex_);
  return sessions_count_;
}

bool Engine::idle() const {
  absl::MutexLock lock(&mutex_);
  return calls_.empty();
}

void Engine::Run() {
  model_.backend().BindThread();
  while (true) {
    if (options_.step_clock != nullptr) options_.step_clock->Begins(clock_.Now());
    const bool worked = Step();
    if (options_.step_clock != nullptr) options_.step_clock->Ended();
    absl::MutexLock lock(&mutex_);
    if (ahead_) continue;  // what woke the engine is not looked at before
    if (stop_) return;
    if (!worked && submitted_.empty() && !woken_) {
      // Deadlines of calls that wait or are paused are looked at this often when nothing else happens.
      const bool soon = !calls_.empty() || tiers_.ticking();
      wake_.WaitWithTimeout(&mutex_, soon ? absl::Milliseconds(20) : absl::Seconds(1));
    }
  }
}

void Engine::RunPosted() {
  std::vector<std::function<void()>> posted;
  {
    absl::MutexLock lock(&mutex_);
    posted.swap(posted_);
  }
  for (const auto& work : posted) work();
}

void Engine::TakeSubmitted() {
  std::deque<ActiveCall> submitted;
  {
    absl::MutexLock lock(&mutex_);
    submitted.swap(submitted_);
  }
  for (ActiveCall& active : submitted) Take(std::move(active));
}

void Engine::Take(ActiveCall active) {
  active.tenant = &tenants_.Enter(active.request().tenant, clock_.Now());
  if (active.request().session.empty()) {
    waiting_.push_back(std::move(active));
  } else {
    AskForSession(std::move(active));
  }
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
    if (active.fed_last && active.appended.empty()) EndRead(active);
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
  for (const std::unique_ptr<ActiveCall>& active : arriving_) {
    if (const absl::Status status = reason_to_end(*active); !status.ok()) End(*active, status);
  }
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (active->ended || active->request().kind == RequestKind::kRewind) continue;  // a rewind is all or nothing
    if (const absl::Status status = reason_to_end(*active); !status.ok()) End(*active, status);
  }
  RemoveEnded();
}

void Engine::Admit() {
  RefuseHopeless();
  while (!waiting_.empty()) {
    const auto next = NextWaiting();
    const int32_t wanted = static_cast<int32_t>(next->choices.size());
    if (wanted > slots_.available()) {
      if (MoveTo(group_.WithFree(wanted, *this), &*next, nullptr)) {
        waiting_.erase(next);
        continue;
      }
      slots_wanted_ += wanted;
      break;
    }
    auto active = std::make_unique<ActiveCall>(std::move(*next));
    waiting_.erase(next);
    for (Choice& choice : active->choices) choice.sequence.lease = *slots_.Acquire();
    Begin(std::move(active));
  }
}

void Engine::Begin(std::unique_ptr<ActiveCall> active) {
  if (active->request().start != nullptr) PutStart(*active);  // first: the text and drafts go on from it
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
  active->tenant->slots += static_cast<int64_t>(active->choices.size());
  for (Choice& choice : active->choices) choice.ran = steps_;
  UsePrefix(*active);
  drift_probe_.Begin(*active);
  const bool waited = active->request().session.empty();
  const bool goes_on = active->prompt().empty() && active->request().kind == RequestKind::kGenerate;
  if (goes_on) active->prefilled = active->admitted;
  if (!goes_on && active->prompt_read() && active->cached > 0) PromptRead(*active);
  metrics_.request_queue_time_seconds.Observe(SecondsBetween(active->arrived, active->admitted));
  running_.push_back(std::move(active));
  if (waited) --group_.waiting;
  CountAvailable();
}

void Engine::CountAvailable() {
  const int64_t now = SlotsForCalls();
  group_.slots_available += now - std::exchange(slots_available_, now);
}

void Engine::RemoveEnded() {
  for (std::vector<std::unique_ptr<ActiveCall>>* calls : {&running_, &arriving_}) {
    calls->erase(std::remove_if(calls->begin(), calls->end(), [](const auto& active) { return active->ended; }),
                 calls->end());
  }
}

void Engine::UpdateGauges() {
  gauges_.running.Set(static_cast<double>(running_.size()));
  metrics_.checkpoint_bytes.Set(static_cast<double>(group_.states.bytes()));
  const int64_t bytes = model_.state_layout().bytes_per_session();
  gauges_.device.Set(slots_.used(), bytes);
  gauges_.host.Set(tiers_.count(Tier::kHost), bytes);
  gauges_.directory.Set(tiers_.count(Tier::kDirectory), bytes);
  gauges_.registry.Set(tiers_.count(Tier::kRegistry), bytes);
  CountQueued();
  CountVacancy();
  CountAvailable();
  metrics_.num_requests_waiting.Set(static_cast<double>(group_.waiting));
  absl::MutexLock lock(&mutex_);
  sessions_count_ = sessions_.size();
}

}  // namespace barista
