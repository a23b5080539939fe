// One step of the engine: schedule, run, deliver.
#include <algorithm>
#include <utility>

#include "server/engine/engine.h"

namespace barista {
bool Engine::Step() {
  if (!ahead_ && !Prepare()) return false;
  const TimePoint begin = clock_.Now();
  bool worked = true;
  if (ahead_) {
    GoOn();
  } else {
    worked = Plan();
    plan_.empty() ? DeliverLate() : Forward();
  }
  if (worked) {
    ScorePrompts();
    AfterForward();
    SampleAll();
  }
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (active->ended || active->request().kind != RequestKind::kClassify) continue;
    if (tenants_.OverRate(*active->tenant)) continue;
    Classify(*active);
    worked = true;
    break;  // one a step: the encoder's whole text is one piece of work
  }
  if (!plan_.empty()) {
    int64_t decodes = 0;
    for (const Scheduled& s : plan_) decodes += s.prefill ? 0 : s.tokens;
    const double seconds = SecondsBetween(begin, clock_.Now());
    const int64_t tokens = static_cast<int64_t>(tokens_.size());
    pace_.Observe(seconds, decodes, tokens - decodes);
    tenants_.Settle(runnables_, plan_, budget_, seconds);
    metrics_.step_seconds.Observe(seconds);
    metrics_.step_tokens.Observe(static_cast<double>(tokens));
    metrics_.batch_size.Observe(static_cast<double>(plan_.size()));
  }
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (!active->ended) drift_probe_.Look(*active, false);
  }
  if (!DeviceFailed()) KeepAnchors();
  if (!ahead_) RemoveEnded();  // the step under way still names them
  UpdateGauges();
  return worked;
}

// What comes from outside, and whose turn it is. False: the device has failed.
bool Engine::Prepare() {
  {
    absl::MutexLock lock(&mutex_);
    woken_ = false;  // what comes from here on wakes the next step
  }
  RunPosted();
  TakeSubmitted();
  if (!device_error_.ok()) return EndAll(device_error_), false;
  Reap();
  ServeArriving();
  TakeFed();  // of calls that have just got their session too
  Admit();
  MoveSurplus();
  tiers_.Balance(slots_wanted_, coming_up_);
  tiers_.Tick();
  ParkSome();
  return true;
}

bool Engine::Plan() {
  runnables_.clear();
  places_.clear();
  ready_.clear();
  tenants_.Begin(clock_.Now());
  int64_t decodes = 0;
  for (const std::unique_ptr<ActiveCall>& owned : running_) {
    ActiveCall& active = *owned;
    const Request& request = active.request();
    if (request.kind == RequestKind::kClassify) continue;
    const bool paused =
        active.call->full(StepEventsMax(request) + active.late.size()) || tenants_.OverRate(*active.tenant);
    const auto add = [&](int32_t c, Runnable runnable) {
      runnable.paused = paused;
      runnable.tenant = paused ? 0 : tenants_.Place(*active.tenant);
      runnable.last = active.choices[c].ran;
      runnables_.push_back(runnable);
      places_.push_back({&active, c});
    };
    const bool append = request.kind == RequestKind::kAppend;
    if ((append || !active.prompt_read()) && !active.settling) {
      const int64_t position = active.choices[0].sequence.position;
      int64_t prompt_left = static_cast<int64_t>(active.prompt().size()) - active.prompt_done;
      // More may follow: only what ends where a prompt may be cut, so that the cut into messages changes no bit.
      if (!active.keep_at.empty()) prompt_left = std::min(prompt_left, active.keep_at.back() - active.prompt_done);
      if (append && !active.fed_last) prompt_left = (position + prompt_left) / kChunk * kChunk - position;
      if (prompt_left <= 0) continue;
      add(0, {.position = position, .prompt_left = prompt_left});
      continue;
    }
    for (size_t c = 0; c < active.choices.size(); ++c) {
      Choice& choice = active.choices[c];
      if (choice.ended) continue;
      if (choice.sequence.pending < 0) {
        if (!paused) ready_.push_back({&active, static_cast<int32_t>(c)});
        continue;
      }
      const int32_t draft = paused ? 0 : Draft(active, choice);
      add(static_cast<int32_t>(c), {.position = choice.sequence.position, .prompt_left = 0, .draft = draft});
      decodes += paused ? 0 : 1;
    }
  }
  budget_ = {.rows_max = model_.options().rows_max,
             .prefill_tokens = pace_.Tokens(decodes),
             .row_seconds = pace_.row_seconds(),
             .token_seconds = pace_.token_seconds()};
  ++steps_;
  Schedule(runnables_, tenants_.shares(), budget_, plan_);
  return !plan_.empty() || !ready_.empty();
}

void Engine::Forward() {
  segments_.clear();
  tokens_.clear();
  for (const Scheduled& s : plan_) {
    const auto [active, c] = places_[s.index];
    const Sequence& sequence = active->choices[c].sequence;
    sequence.lease.AssertOwner();
    active->choices[c].ran = steps_;
    segments_.push_back({.slot = sequence.lease.slot(),
                         .row = static_cast<int32_t>(tokens_.size()),
                         .rows = s.prefill ? s.tokens : 1,
                         .position = runnables_[s.index].position,
                         .prefill = s.prefill && !(active->replay != nullptr && active->replay->drawn())});
    if (s.prefill) {
      const auto from = active->prompt().begin() + active->prompt_done;
      tokens_.insert(tokens_.end(), from, from + s.tokens);
    } else {
      tokens_.push_back(sequence.pending);
      if (s.tokens == 1) continue;
      active->choices[c].speculation->Extend(s.tokens - 1, segments_, tokens_);
      active->drafted += s.tokens - 1;
      metrics_.drafted_tokens_total.Increment(s.tokens - 1);
    }
  }
  const absl::Span<const int32_t> measured = latent_meter_.RowsOf(steps_, static_cast<int64_t>(tokens_.size()));
  drawn_.clear();
  ahead_steps_ = 0;
  if (model_.Forward(segments_, tokens_, pool_, measured, Draws())) {
    drawn_ = due_;
    ahead_ = MayGoOn() && model_.Continue();
  }
  DeliverLate();  // while the device computes: what follows waits for it
  if (!measured.empty()) latent_meter_.Observe();
}

void Engine::ScorePrompts() {
  const int64_t tile = model_.options().logits_rows_max;
  int64_t next_row = 0;
  for (const Scheduled& s : plan_) {
    const int64_t row = std::exchange(next_row, next_row + s.tokens);
    ActiveCall& active = *places_[s.index].active;
    const Request& request = active.request();
    if (!s.prefill || request.prompt_logprobs < 0) continue;
    // Row r of the segment predicts the token after it; the prompt's last row predicts none of the prompt.
    const int64_t prompt = static_cast<int64_t>(request.prompt.size());
    const int64_t rows = std::min<int64_t>(s.tokens, prompt - 1 - active.prompt_done);
    if (rows <= 0) continue;
    PromptLogprobs event = {.begin = active.prompt_done + 1, .tokens = std::vector<SampleResult>(rows)};
    for (int64_t done = 0; done < rows; done += tile) {
      const int64_t count = std::min(tile, rows - done);
      const Rows logits = model_.LogitsOfRows(row + done, count);
      const absl::Span<const int32_t> targets =
          absl::MakeConstSpan(request.prompt).subspan(active.prompt_done + 1 + done, count);
      model_.backend().Logprobs(logits, targets, request.prompt_logprobs,
                                absl::MakeSpan(event.tokens).subspan(done, count));
      if (DeviceFailed()) return;
    }
    const bool finite =
        std::all_of(event.tokens.begin(), event.tokens.end(), [](const SampleResult& r) { return r.finite; });
    active.call->Push(std::move(event));
    if (!finite) EndNonFinite(active, "the prompt");
  }
}

void Engine::AfterForward() {
  for (const Scheduled& s : plan_) {
    const auto [place, c] = places_[s.index];
    ActiveCall& active = *place;
    if (active.ended) continue;
    Sequence& sequence = active.choices[c].sequence;
    sequence.position += s.prefill ? s.tokens : 1;
    if (!s.prefill) {
      sequence.pending = -1;
      active.settling = false;
      continue;
    }
    const Request& request = active.request();
    active.prompt_done += s.tokens;
    if (active.replay != nullptr) {
      ReplayOn(active);
      continue;
    }
    metrics_.prompt_tokens_total.Increment(s.tokens);
    TenantTable::Spend(*active.tenant, s.tokens);
    const int64_t prompt = static_cast<int64_t>(active.prompt().size());
    const absl::Span<const int32_t> read(active.prompt().data() + active.prompt_done - s.tokens, s.tokens);
    if (active.counts_tokens()) sequence.counts.AddPrompt(read);
    if (active.session != nullptr && group_.states.on()) active.session->past.Read(read);
    KeepPrefix(active);
    if (request.kind == RequestKind::kAppend) {
      active.call->Push(PrefillProgress{.done = active.dropped + active.prompt_done, .total = active.prompt_tokens()});
      continue;
    }
    if (s.tokens < prompt) active.call->Push(PrefillProgress{.done = active.prompt_done, .total = prompt});
    if (active.prompt_read()) PromptRead(active);
  }
}

void Engine::PromptRead(ActiveCall& active) {
  active.prefilled = clock_.Now();
  if (active.request().kind == RequestKind::kScore) return End(active, absl::OkStatus());
  const Sequence& sequence = active.choices[0].sequence;
  for (size_t other = 1; other < active.choices.size(); ++other) {
    Sequence& copy = active.choices[other].sequence;
    pool_.Copy(copy.lease.slot(), sequence.lease.slot());
    copy.position = sequence.position;
    copy.counts = sequence.counts;
  }
}

}  // namespace barista
