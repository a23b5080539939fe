// Steps that draw on the device, and the next one launched before the host knows what the last one drew: as long as all
// calls only go on. The device stops a row at its end by itself (Backend::ContinueStep), so the state of a call that
// ends is what it ended with. While a step is ahead nothing else happens in the engine: no call comes, goes or moves.
#include <algorithm>

#include "server/engine/engine.h"

namespace barista {
namespace {

constexpr int kAheadMax = 32;  // steps in a row, for what is looked at between steps alone (tiers, tenants' rates)

}  // namespace

absl::Span<const SampleRow> Engine::Draws() {
  due_.clear();
  sample_rows_.clear();
  if (!model_.backend().queues() || !ready_.empty()) return {};
  for (const Scheduled& s : plan_) {
    const auto [active, c] = places_[s.index];
    const bool samples = active->prompt_read() && active->request().kind == RequestKind::kGenerate;
    if (s.prefill || s.tokens != 1 || !samples) return {};
    due_.push_back({active, c, 1});
    sample_rows_.push_back(RowOf(*active, c, active->choices[c].sequence.position + 1));
    if (active->request().sampling.penalises()) sample_rows_.back().counts_room = kAheadMax;
  }
  return sample_rows_;
}

void Engine::GoOn() {
  const auto ended = [this](const Scheduled& s) {
    const auto [active, c] = places_[s.index];
    return active->ended || active->choices[c].ended;
  };
  plan_.erase(std::remove_if(plan_.begin(), plan_.end(), ended), plan_.end());
  tokens_.resize(plan_.size());
  ++steps_;
  ++ahead_steps_;
  for (const Scheduled& s : plan_) places_[s.index].active->choices[places_[s.index].choice].ran = steps_;
  ahead_ = MayGoOn() && model_.Continue();
  DeliverLate();
}

bool Engine::MayGoOn() {
  {
    absl::MutexLock lock(&mutex_);
    if (stop_ || woken_ || parking_ || !submitted_.empty() || !posted_.empty()) return false;
  }
  if (!waiting_.empty() || !arriving_.empty() || ahead_steps_ == kAheadMax) return false;
  if (latent_meter_.Measures(steps_ + 1) || !model_.backend().status().ok()) return false;
  const TimePoint now = clock_.Now();
  size_t rows = 0;
  for (const std::unique_ptr<ActiveCall>& active : running_) {
    if (active->ended) continue;
    if (!MayGoOn(*active, now)) return false;
    for (const Choice& choice : active->choices) rows += choice.ended ? 0 : 1;
  }
  // All that runs is in the step, and most of the step still runs.
  return rows == plan_.size() && 5 * rows >= 4 * drawn_.size() && rows > 0;
}

bool Engine::MayGoOn(const ActiveCall& active, TimePoint now) const {
  const Request& request = active.request();
  if (active.call->cancelled() != Call::Cancelled::kNo || now >= request.deadline) return false;
  if (request.speculation_tokens > 0 || active.sampled_tokens != nullptr || tenants_.OverRate(*active.tenant))
    return false;
  if (active.call->full(2 * StepEventsMax(request) + active.late.size())) return false;  // of both steps
  for (const Choice& choice : active.choices) {
    if (choice.generated + 1 == request.stop.min_tokens) return false;  // then ids that end it may be drawn
    // An id that gives way to another is the host's to choose.
    if (request.sampling.penalises() && choice.sequence.counts.counts().size() + 2 > StateLayout::kPenaltyIdsMax)
      return false;
  }
  // A kept state is copied when the host is where the device is.
  const int64_t distance = sessions_.rewind_tokens_max();
  return active.session == nullptr || distance == 0 ||
         !active.session->past.IsBehind(active.session->tokens() + 2, distance);
}

void Engine::TakeDrawn() {
  sample_results_.assign(drawn_.size(), SampleResult{});
  model_.TakeDraws(absl::MakeSpan(sample_results_));
  if (DeviceFailed()) return;
  for (size_t i = 0; i < drawn_.size(); ++i) {
    const auto& [active, c, rows] = drawn_[i];
    if (active->ended || active->choices[c].ended) continue;  // a step ago
    Settle(*active, c, std::move(sample_results_[i]));
  }
  if (!ahead_) drawn_.clear();
}

}  // namespace barista
