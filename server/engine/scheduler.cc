#include "server/engine/scheduler.h"

#include <algorithm>

#include "kernels/view.h"

namespace barista {

void Schedule(absl::Span<const Runnable> runnables, const StepBudget& budget, uint64_t first,
              std::vector<Scheduled>& plan) {
  plan.clear();
  const int32_t count = static_cast<int32_t>(runnables.size());
  int64_t rows = 0, waiting_prompts = 0, decoding = 0;
  for (const Runnable& r : runnables) {
    if (r.paused) continue;
    (r.prompt_left > 0 ? waiting_prompts : decoding) += 1;
  }
  // One cut of a prompt always fits, however many sequences decode.
  const int64_t decodes_max = budget.rows_max - (waiting_prompts > 0 ? kChunk : 0);
  int64_t spare = std::max<int64_t>(decodes_max - decoding, 0);  // rows for drafts
  const int32_t turn = decoding > decodes_max ? static_cast<int32_t>(first % count) : 0;
  for (int32_t i = 0; i < count && rows < decodes_max; ++i) {
    const int32_t index = (i + turn) % count;
    const Runnable& r = runnables[index];
    if (r.paused || r.prompt_left > 0) continue;
    const int32_t draft = static_cast<int32_t>(std::min<int64_t>(r.draft, spare));
    plan.push_back({.index = index, .tokens = 1 + draft, .prefill = false});
    rows += 1 + draft;
    spare -= draft;
  }
  int64_t tokens = decoding > 0 ? std::min(budget.prefill_tokens, budget.rows_max - rows) : budget.rows_max;
  for (int32_t index = 0; index < count; ++index) {
    const Runnable& r = runnables[index];
    if (r.paused || r.prompt_left == 0) continue;
    int64_t take = std::min(r.prompt_left, tokens);
    if (take < r.prompt_left) take = std::max<int64_t>((r.position + take) / kChunk * kChunk - r.position, 0);
    if (take == 0) break;  // the oldest prompt goes first; a younger one does not slip past it
    plan.push_back({.index = index, .tokens = static_cast<int32_t>(take), .prefill = true});
    tokens -= take;
  }
}

void PrefillPace::Observe(double seconds, int64_t decodes, int64_t prefill_tokens) {
  constexpr double kNew = 0.25;  // weight of the newest step
  if (prefill_tokens == 0) {
    decode_seconds_ = decode_seconds_ == 0 ? seconds : decode_seconds_ + kNew * (seconds - decode_seconds_);
  } else {
    const double share = std::max(seconds - (decodes > 0 ? decode_seconds_ : 0), 0.1 * seconds) / prefill_tokens;
    token_seconds_ = token_seconds_ == 0 ? share : token_seconds_ + kNew * (share - token_seconds_);
  }
}

int64_t PrefillPace::Tokens(int64_t decodes) const {
  if (decodes == 0) return tokens_max_;
  if (token_seconds_ == 0) return kChunk;
  const double tokens = std::max(target_ - decode_seconds_, 0.0) / token_seconds_;
  const int64_t cuts = static_cast<int64_t>(std::min(tokens, static_cast<double>(tokens_max_))) / kChunk;
  return std::clamp(cuts * kChunk, kChunk, std::max(tokens_max_, kChunk));
}

}  // namespace barista
