// From the last hidden rows of a step to tokens: one row of every sequence, and the rows of a draft one after another,
// as long as they hold.
#include <algorithm>
#include <memory>
#include <utility>

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

size_t Engine::StepEventsMax(const Request& request) {
  // Every choice may send a token and what is drafted after it, and reading the prompt progress and log-probabilities.
  return static_cast<size_t>(request.n) * (1 + request.speculation_tokens) + 2;
}

int32_t Engine::Draft(const ActiveCall& active, Choice& choice) {
  if (choice.speculation == nullptr || !active.prompt_read()) return 0;
  const int64_t tokens_left = active.request().stop.max_tokens - choice.generated;
  const int64_t rows = std::min(tokens_left, model_.options().logits_rows_max);
  return choice.speculation->Draft(rows - 1, choice.sequence, slots_, pool_);
}

void Engine::SampleAll() {
  if (!drawn_.empty()) return TakeDrawn();
  due_.clear();
  const auto add = [this](ActiveCall* active, size_t c) {
    const std::unique_ptr<Speculation>& speculation = active->choices[c].speculation;
    due_.push_back({active, static_cast<int32_t>(c), 1 + (speculation == nullptr ? 0 : speculation->verifying())});
  };
  for (const auto& [active, c] : ready_) add(active, c);
  for (const Scheduled& s : plan_) {
    const auto [active, c] = places_[s.index];
    if (active->ended || !active->prompt_read() || active->request().kind != RequestKind::kGenerate) continue;
    if (s.prefill) {
      for (size_t i = 0; i < active->choices.size(); ++i) add(active, i);
    } else {
      add(active, c);
    }
  }
  int64_t rows = 0;
  tile_.clear();
  for (const Due& due : due_) {
    if (rows + due.rows > model_.options().logits_rows_max) {
      SampleTile(tile_);
      tile_.clear();
      rows = 0;
    }
    if (due.active->ended) continue;
    tile_.push_back(due);
    rows += due.rows;
  }
  SampleTile(tile_);
}

// Rows lie by depth: the first of all sequences, then the first drafted ones, and so on. Of a depth, neighbours that
// are reached are sampled together.
void Engine::SampleTile(absl::Span<const Due> dues) {
  if (dues.empty()) return;
  int32_t depths = 0;
  for (const Due& due : dues) depths = std::max(depths, due.rows);
  sample_slots_.clear();
  for (int32_t depth = 0; depth < depths; ++depth) {
    for (const auto& [active, c, rows] : dues) {
      const Choice& choice = active->choices[c];
      if (depth == 0) sample_slots_.push_back(choice.sequence.lease.slot());
      if (depth > 0 && depth < rows) sample_slots_.push_back(choice.speculation->slot(depth));
    }
  }
  const Rows logits = model_.Logits(sample_slots_, pool_);
  int64_t row = 0;
  for (int32_t depth = 0; depth < depths; ++depth) {
    reached_.clear();
    const auto sample = [&] {
      const int64_t count = static_cast<int64_t>(reached_.size());
      if (count > 0) SampleRows(reached_, logits.Slice(row - count, count));
      reached_.clear();
    };
    for (const Due& due : dues) {
      if (depth >= due.rows) continue;
      const Choice& choice = due.active->choices[due.choice];
      const bool goes_on = !due.active->ended && !choice.ended;
      const bool reached = depth == 0 || (goes_on && choice.speculation->accepted() == depth);
      if (!reached) sample();
      if (reached) reached_.push_back(due);
      ++row;
    }
    sample();
  }
}

SampleRow Engine::RowOf(const ActiveCall& active, int32_t c, int64_t position) {
  const Choice& choice = active.choices[c];
  const Request& request = active.request();
  return {.params = &request.sampling,
          .counts = request.sampling.penalises() ? choice.sequence.counts.counts() : absl::Span<const TokenCount>(),
          .forbidden = Forbidden(active, choice),
          .choice = choice.sequence.draws + static_cast<uint64_t>(c),
          .position = static_cast<uint64_t>(position),
          .top_logprobs = request.logprobs,
          .ends = active.end_ids,
          .draws_left = int64_t{request.stop.max_tokens} - choice.generated - 1};
}

void Engine::SampleRows(absl::Span<const Due> dues, const Rows& logits) {
  sample_rows_.clear();
  for (const auto& [active, c, rows] : dues) {
    const Sequence& sequence = active->choices[c].sequence;
    sequence.lease.AssertOwner();
    sample_rows_.push_back(RowOf(*active, c, sequence.position));
  }
  sample_results_.assign(dues.size(), SampleResult{});
  model_.backend().Sample(logits, sample_rows_, absl::MakeSpan(sample_results_));
  if (DeviceFailed()) return;
  for (size_t i = 0; i < dues.size(); ++i) {
    const auto& [active, c, rows] = dues[i];
    if (active->ended) continue;
    Choice& choice = active->choices[c];
    const int32_t token = sample_results_[i].token;
    if (rows > 1 && choice.speculation->Expects(token)) {
      ++active->accepted;
      metrics_.accepted_tokens_total.Increment();
    }
    Settle(*active, c, std::move(sample_results_[i]));
    if (rows > 1 && !active->ended && !choice.ended) choice.speculation->Accept(token, choice.sequence, slots_);
  }
}

}  // namespace barista
