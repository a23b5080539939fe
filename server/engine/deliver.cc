// The end of a step: results become events of their calls; choices and calls end.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/engine/engine.h"
#include "server/engine/error.h"

namespace barista {
namespace {

// By the token's id or the number of tokens. Its text may say otherwise.
FinishReason FinishAfter(const ActiveCall& active, const Choice& choice, int32_t id) {
  const auto end = std::find(active.end_ids.begin(), active.end_ids.end(), id);
  if (end != active.end_ids.end()) {  // ignored end ids are masked, so they are never drawn
    const bool eos = static_cast<size_t>(end - active.end_ids.begin()) < active.eos_ids;
    return eos ? FinishReason::kEos : FinishReason::kStopToken;
  }
  return choice.generated == active.request().stop.max_tokens ? FinishReason::kLength : FinishReason::kNone;
}

void EndAtStop(Token& token, int32_t stop_index) {
  token.finish = FinishReason::kStopString;
  token.stop_index = stop_index;
}

}  // namespace

void Engine::Settle(ActiveCall& active, int32_t c, SampleResult result) {
  Choice& choice = active.choices[c];
  if (!result.finite) return EndNonFinite(active, absl::StrCat("token ", choice.generated + 1));
  const int32_t id = result.token;
  choice.sequence.pending = id;
  ++choice.generated;
  ++active.generated;
  metrics_.generation_tokens_total.Increment();
  TenantTable::Spend(*active.tenant, 1);
  if (active.counts_tokens()) choice.sequence.counts.AddOutput(id);
  if (active.session != nullptr && group_.states.on()) active.session->past.Drew(id);
  if (choice.speculation != nullptr) choice.speculation->Push(id);
  if (active.sampled_tokens != nullptr) active.sampled_tokens->push_back(id);

  Token token = {.choice = c, .id = id, .logprobs = std::move(result), .finish = FinishAfter(active, choice, id)};
  if (MayWait(active, token)) return active.late.push_back(std::move(token));
  DeliverLate(active);  // of other choices: a call's events keep their order
  Deliver(active, std::move(token));
}

// Only where the device computes meanwhile: elsewhere a late token would come a step later. And only a token on whose
// text nothing depends: neither its choice's end, nor what is drafted, nor the state of a session.
bool Engine::MayWait(const ActiveCall& active, const Token& token) const {
  const Request& request = active.request();
  return model_.backend().queues() && token.finish == FinishReason::kNone && !active.keeps_state() &&
         request.speculation_tokens == 0 && request.stop.stop_strings->empty();
}

void Engine::DeliverLate() {
  for (const std::unique_ptr<ActiveCall>& active : running_) DeliverLate(*active);
}

void Engine::DeliverLate(ActiveCall& active) {
  for (Token& token : active.late) Deliver(active, std::move(token));
  active.late.clear();
}

void Engine::Deliver(ActiveCall& active, Token token) {
  Choice& choice = active.choices[token.choice];
  ObserveLatency(active, choice);
  const bool has_text = token.finish == FinishReason::kNone || token.finish == FinishReason::kLength;
  if (has_text && choice.text != nullptr) AddText(active.request().stop, choice, token);
  // As it is now: a fork of the session needs it too.
  if (active.keeps_state() && choice.text != nullptr) choice.sequence.decoded = choice.text->state().detokenizer;
  if (token.finish == FinishReason::kNone) {
    active.call->Push(std::move(token));
  } else {
    EndChoice(active, std::move(token));
  }
}

// A token's time is that of its delivery, not of its draw: a reader waits for the one and cannot see the other.
void Engine::ObserveLatency(ActiveCall& active, Choice& choice) {
  const TimePoint now = clock_.Now();
  if (!active.first_token) {
    active.first_token = now;
    metrics_.time_to_first_token_seconds.Observe(SecondsBetween(active.arrived, now));
  }
  if (choice.last_token) metrics_.inter_token_latency_seconds.Observe(SecondsBetween(*choice.last_token, now));
  choice.last_token = now;
}

void Engine::AddText(const StopParams& stop, Choice& choice, Token& token) {
  TextStream::Output output = choice.text->Push(token.id);
  token.text = std::move(output.text);
  if (output.stopped) EndAtStop(token, output.stop_index);
  if (choice.generated == stop.min_tokens) {
    choice.text = std::make_unique<TextStream>(*tokenizer_, stop.stop_strings, choice.text->state());
  }
}

void Engine::EndChoice(ActiveCall& active, Token last) {
  Choice& choice = active.choices[last.choice];
  if (choice.text != nullptr && active.keeps_state() && last.finish == FinishReason::kLength) {
    last.text += choice.text->Release();
  } else if (choice.text != nullptr && last.finish != FinishReason::kStopString) {
    TextStream::Output output = choice.text->Flush();
    last.text += output.text;
    if (output.stopped) EndAtStop(last, output.stop_index);
  }
  active.call->Push(std::move(last));
  drift_probe_.Look(active, true);
  choice.ended = true;
  choice.speculation.reset();
  if (active.keeps_state() && choice.text != nullptr) choice.sequence.decoded = choice.text->state().detokenizer;
  if (!active.keeps_state()) choice.sequence.lease = SlotLease();
  const bool all = std::all_of(active.choices.begin(), active.choices.end(), [](const Choice& x) { return x.ended; });
  if (all) End(active, absl::OkStatus());
}

void Engine::Classify(ActiveCall& active) {
  active.prompt_done = static_cast<int64_t>(active.prompt().size());
  metrics_.prompt_tokens_total.Increment(static_cast<double>(active.prompt_done));
  TenantTable::Spend(*active.tenant, active.prompt_done);
  const absl::Span<const int32_t> measured = latent_meter_.RowsOf(steps_++, active.prompt_done);
  std::vector<double> logits = model_.Classify(active.prompt(), measured);
  if (!measured.empty()) latent_meter_.Observe();
  active.prefilled = clock_.Now();
  const bool finite = std::all_of(logits.begin(), logits.end(), [](double x) { return std::isfinite(x); });
  if (!finite) return EndNonFinite(active, "the class logits");
  End(active, absl::OkStatus(), std::move(logits));
}

void Engine::EndNonFinite(ActiveCall& active, absl::string_view where) {
  metrics_.state_nonfinite_total.Increment();
  if (active.session != nullptr) sessions_.Drop(*std::exchange(active.session, nullptr));
  const bool alone = active.request().session.empty();
  End(active, NonFiniteError(where, alone ? "this call is lost" : "this call is lost, and its session with it"));
}

void Engine::End(ActiveCall& active, absl::Status status, std::vector<double> class_logits) {
  DeliverLate(active);
  const TimePoint now = clock_.Now();
  const bool admitted = active.admitted != TimePoint();
  const bool prefilled = active.prefilled != TimePoint();
  const TimePoint prefill_end = prefilled ? active.prefilled : now;
  Finished finished = {
      .status = status,
      .usage = {.prompt_tokens = active.replay != nullptr ? 0 : active.prompt_tokens(),
                .generated_tokens = active.generated,
                .cached_tokens = active.cached,
                .drafted_tokens = active.drafted,
                .accepted_tokens = active.accepted},
      .timings = {.queue = SecondsBetween(active.arrived, admitted ? active.admitted : now),
                  .prefill = admitted ? SecondsBetween(active.admitted, prefill_end) : 0,
                  .decode = prefilled ? SecondsBetween(prefill_end, now) : 0,
                  .time_to_first_token = active.first_token ? SecondsBetween(active.arrived, *active.first_token) : 0,
                  .total = SecondsBetween(active.arrived, now)},
      .class_logits = std::move(class_logits)};
  active.ended = true;
  drift_probe_.Look(active, true);
  if (active.replay != nullptr) finished.replayed_tokens = active.replay->replayed();
  if (active.session != nullptr) {
    Session& session = *std::exchange(active.session, nullptr);
    finished.session_tokens = session.tokens();
    if (status.ok() && !active.request().mark.empty()) {
      sessions_.Checkpoint(session, Past::Kind::kMark, active.request().mark);
    }
    sessions_.GiveBack(session);
  } else if (active.request().seal && status.ok()) {
    auto copy = std::make_shared<SessionCopy>(CopyWithState(active.choices[0].sequence, pool_));
    if (!copy->finite) finished.status = NonFiniteError("the end", "this call is lost");
    if (copy->finite) finished.sealed = std::move(copy);
  }
  if (active.waits_for_session) {
    if (const absl::StatusOr<Session*> session = sessions_.Find(active.request().session); session.ok()) {
      (*session)->wanted = false;
    }
  }
  for (Choice& choice : active.choices) choice.sequence.lease = SlotLease();
  metrics_.e2e_request_latency_seconds.Observe(finished.timings.total);
  if (admitted) active.tenant->slots -= static_cast<int64_t>(active.choices.size());
  tenants_.Leave(*active.tenant, now);
  if (admitted && prefilled) {
    metrics_.request_prefill_time_seconds.Observe(finished.timings.prefill);
    metrics_.request_decode_time_seconds.Observe(finished.timings.decode);
  }
  metrics_.request_prompt_tokens.Observe(static_cast<double>(finished.usage.prompt_tokens));
  metrics_.request_generation_tokens.Observe(static_cast<double>(finished.usage.generated_tokens));
  {
    absl::MutexLock lock(&mutex_);
    calls_.erase(active.call);
    streams_ -= active.request().n;
    group_.tenants.Leave(active.request().tenant, active.request().n, active.queued);
    if (!admitted && active.request().session.empty()) --group_.waiting;
  }
  active.call->Push(std::move(finished));
}

}  // namespace barista
