// One step of the engine: schedule, run, deliver.
#include <algorithm>

#include "server/engine/engine.h"

namespace barista {
namespace {

// Ids that may not be drawn now: whatever ends a choice before min_tokens, end-of-sequence ids where they are ignored.
absl::Span<const int32_t> Forbidden(const ActiveCall& active, const Choice& choice) {
  if (choice.generated < active.request().stop.min_tokens) return active.end_ids;
  if (active.request().stop.ignore_eos) return absl::MakeConstSpan(active.end_ids).first(active.eos_ids);
  return {};
}

}  // namespace

bool Engine::Step() {
  TakeSubmitted();
  Reap();
  Admit();
  const TimePoint begin = clock_.Now();
  bool worked = Plan();
  if (worked) {
    Forward();
    ScorePrompts();
    AfterPrefill();
    SampleAll();
  }
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (active->ended || active->request().kind != RequestKind::kClassify) continue;
    Classify(*active);
    worked = true;
    break;  // one a step: the encoder's whole text is one piece of work
  }
  if (!plan_.empty()) {
    int64_t decodes = 0;
    for (const Scheduled& s : plan_) decodes += s.prefill ? 0 : 1;
    const double seconds = SecondsBetween(begin, clock_.Now());
    const int64_t tokens = static_cast<int64_t>(tokens_.size());
    pace_.Observe(seconds, decodes, tokens - decodes);
    metrics_.step_seconds.Observe(seconds);
    metrics_.step_tokens.Observe(static_cast<double>(tokens));
    metrics_.batch_size.Observe(static_cast<double>(plan_.size()));
  }
  RemoveEnded();
  UpdateGauges();
  return worked;
}

bool Engine::Plan() {
  runnables_.clear();
  places_.clear();
  int64_t decodes = 0;
  for (const std::unique_ptr<ActiveCall>& owned : running_) {
    ActiveCall& active = *owned;
    const Request& request = active.request();
    if (request.kind == RequestKind::kClassify) continue;
    // Every choice may send a token, and reading the prompt a progress event and log-probabilities.
    const bool paused = active.call->full(active.choices.size() + 2);
    const int64_t prompt = static_cast<int64_t>(request.prompt.size());
    if (!active.prompt_read()) {
      runnables_.push_back(
          {.position = active.prompt_done, .prompt_left = prompt - active.prompt_done, .paused = paused});
      places_.push_back({&active, 0});
      continue;
    }
    for (size_t c = 0; c < active.choices.size(); ++c) {
      const Choice& choice = active.choices[c];
      if (choice.ended) continue;
      runnables_.push_back({.position = prompt + choice.generated - 1, .prompt_left = 0, .paused = paused});
      places_.push_back({&active, static_cast<int32_t>(c)});
      decodes += paused ? 0 : 1;
    }
  }
  const StepBudget budget = {.rows_max = model_.options().rows_max, .prefill_tokens = pace_.Tokens(decodes)};
  Schedule(runnables_, budget, steps_++, plan_);
  return !plan_.empty();
}

void Engine::Forward() {
  segments_.clear();
  tokens_.clear();
  for (const Scheduled& s : plan_) {
    const auto [active, c] = places_[s.index];
    const Choice& choice = active->choices[c];
    choice.lease.AssertOwner();
    segments_.push_back({.slot = choice.lease.slot(),
                         .row = static_cast<int32_t>(tokens_.size()),
                         .rows = s.tokens,
                         .position = runnables_[s.index].position,
                         .prefill = s.prefill});
    if (s.prefill) {
      const auto from = active->request().prompt.begin() + active->prompt_done;
      tokens_.insert(tokens_.end(), from, from + s.tokens);
    } else {
      tokens_.push_back(choice.pending);
    }
  }
  model_.Forward(segments_, tokens_, pool_);
}

void Engine::ScorePrompts() {
  const int64_t tile = model_.options().logits_rows_max;
  for (size_t i = 0; i < plan_.size(); ++i) {
    ActiveCall& active = *places_[plan_[i].index].active;
    const Request& request = active.request();
    if (!plan_[i].prefill || request.prompt_logprobs < 0) continue;
    // Row r of the segment predicts the token after it; the prompt's last row predicts none of the prompt.
    const int64_t prompt = static_cast<int64_t>(request.prompt.size());
    const int64_t rows = std::min<int64_t>(segments_[i].rows, prompt - 1 - active.prompt_done);
    if (rows <= 0) continue;
    PromptLogprobs event = {.begin = active.prompt_done + 1, .tokens = std::vector<SampleResult>(rows)};
    for (int64_t done = 0; done < rows; done += tile) {
      const int64_t count = std::min(tile, rows - done);
      const Rows logits = model_.LogitsOfRows(segments_[i].row + done, count);
      const absl::Span<const int32_t> targets =
          absl::MakeConstSpan(request.prompt).subspan(active.prompt_done + 1 + done, count);
      model_.backend().Logprobs(logits, targets, request.prompt_logprobs,
                                absl::MakeSpan(event.tokens).subspan(done, count));
    }
    const bool finite =
        std::all_of(event.tokens.begin(), event.tokens.end(), [](const SampleResult& r) { return r.finite; });
    active.call->Push(std::move(event));
    if (!finite) EndNonFinite(active, "the prompt");
  }
}

void Engine::AfterPrefill() {
  for (const Scheduled& s : plan_) {
    ActiveCall& active = *places_[s.index].active;
    if (!s.prefill || active.ended) continue;
    const Request& request = active.request();
    active.prompt_done += s.tokens;
    metrics_.prompt_tokens_total.Increment(s.tokens);
    const int64_t prompt = static_cast<int64_t>(request.prompt.size());
    if (s.tokens < prompt) active.call->Push(PrefillProgress{.done = active.prompt_done, .total = prompt});
    if (!active.prompt_read()) continue;
    active.prefilled = clock_.Now();
    if (request.kind == RequestKind::kScore) {
      End(active, absl::OkStatus());
      continue;
    }
    const SamplingParams& p = request.sampling;
    if (p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f) {
      active.choices[0].counts.AddPrompt(request.prompt);
    }
    for (size_t c = 1; c < active.choices.size(); ++c) {
      pool_.Copy(active.choices[c].lease.slot(), active.choices[0].lease.slot());
      active.choices[c].counts = active.choices[0].counts;
    }
  }
}

void Engine::SampleAll() {
  sampled_.clear();
  for (const Scheduled& s : plan_) {
    const auto [active, c] = places_[s.index];
    if (active->ended || !active->prompt_read()) continue;
    if (!s.prefill) {
      sampled_.push_back({active, c});
      continue;
    }
    for (size_t i = 0; i < active->choices.size(); ++i) sampled_.push_back({active, static_cast<int32_t>(i)});
  }
  const size_t tile = static_cast<size_t>(model_.options().logits_rows_max);
  for (size_t done = 0; done < sampled_.size(); done += tile) {
    const size_t count = std::min(tile, sampled_.size() - done);
    const absl::Span<const Place> places = absl::MakeConstSpan(sampled_).subspan(done, count);
    sample_slots_.clear();
    sample_rows_.clear();
    for (const auto& [active, c] : places) {
      const Choice& choice = active->choices[c];
      const Request& request = active->request();
      choice.lease.AssertOwner();
      sample_slots_.push_back(choice.lease.slot());
      sample_rows_.push_back({.params = &request.sampling,
                              .counts = choice.counts.counts(),
                              .forbidden = Forbidden(*active, choice),
                              .choice = static_cast<uint64_t>(c),
                              .position = request.prompt.size() + choice.generated,
                              .top_logprobs = request.logprobs});
    }
    sample_results_.assign(count, SampleResult{});
    const Rows logits = model_.Logits(sample_slots_, pool_);
    model_.backend().Sample(logits, sample_rows_, absl::MakeSpan(sample_results_));
    for (size_t i = 0; i < count; ++i) {
      if (!places[i].active->ended) Deliver(*places[i].active, places[i].choice, std::move(sample_results_[i]));
    }
  }
}

}  // namespace barista
