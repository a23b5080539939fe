#include "server/engine/replay.h"

#include <utility>

namespace barista {

Replay::Replay(RewindPlan plan, const Tokenizer* tokenizer, Sequence& sequence)
    : target_(plan.tokens), replayed_(plan.replayed()) {
  const uint64_t draws = sequence.draws;
  const uint32_t forks = sequence.forks;  // copies that were made stay made
  SetWithoutState(plan.from != nullptr ? *plan.from : SessionCopy(), sequence);
  sequence.draws = draws;
  sequence.forks = forks;
  counts_ = sequence.counts;
  decoded_ = sequence.decoded;
  pending_ = sequence.pending;
  for (TokenRun& run : plan.replay) {
    if (!run.drawn) {
      counts_.AddPrompt(run.tokens);
    } else {
      for (const int32_t token : run.tokens) counts_.AddOutput(token);
    }
    if (run.drawn && tokenizer != nullptr) {
      Detokenizer text(*tokenizer, run.begins ? DetokenizerState() : decoded_);
      for (const int32_t token : run.tokens) text.Push(token);
      decoded_ = text.state();
    }
    runs_.push_back(std::move(run));
  }
  if (runs_.empty()) return;
  // The token drawn before the first run goes in as it would have; the last one drawn stays out.
  if (sequence.pending >= 0) runs_.push_front({.drawn = true, .tokens = {std::exchange(sequence.pending, -1)}});
  pending_ = -1;
  if (!runs_.back().drawn) return;
  pending_ = runs_.back().tokens.back();
  runs_.back().tokens.pop_back();
  if (runs_.back().tokens.empty()) runs_.pop_back();
}

void Replay::Complete(Sequence& sequence) {
  sequence.pending = pending_;
  sequence.counts = std::move(counts_);
  sequence.decoded = std::move(decoded_);
}

}  // namespace barista
