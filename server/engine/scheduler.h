// Who runs in the next step: a pure function of what waits, what runs and the token budget.
//
// A step takes one token of every decoding sequence, with those drafted after it, then prompt tokens, oldest prompt
// first, up to the budget. Prompts are cut at absolute positions divisible by kChunk or at their end and nowhere else,
// so the budget never changes bits.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace barista {

// One running sequence, in order of arrival.
struct Runnable {
  int64_t position = 0;     // tokens in its state
  int64_t prompt_left = 0;  // prompt tokens still to read; 0: decoding
  bool paused = false;      // its reader is slow: no step until it has room
  int32_t draft = 0;        // of a decode: drafted tokens to verify with it
};

struct StepBudget {
  int64_t rows_max = 512;        // tokens of a step, decodes included
  int64_t prefill_tokens = 512;  // prompt tokens of a step beside decodes; at least one cut is always taken
};

struct Scheduled {
  int32_t index = 0;   // into the list of runnables
  int32_t tokens = 0;  // of a decode 1 and the drafted ones
  bool prefill = false;
};

// Writes the plan to `plan` (cleared first): decodes in order of arrival, then prompts. Drafted tokens get rows that
// neither another decode nor a prompt's one cut wants, as far as there are any. Where more sequences decode
// than rows_max, `first` (any number that grows by one a step) turns the list so that all get their turn.
void Schedule(absl::Span<const Runnable> runnables, const StepBudget& budget, uint64_t first,
              std::vector<Scheduled>& plan);

// How many prompt tokens to read beside running decodes so that a step stays near `target` seconds, from what steps
// have cost so far. Changes speed only, never bits.
class PrefillPace {
 public:
  PrefillPace(double target_seconds, int64_t tokens_max) : target_(target_seconds), tokens_max_(tokens_max) {}

  // After each step: its duration and what it held.
  void Observe(double seconds, int64_t decodes, int64_t prefill_tokens);
  // Tokens for the next step: a multiple of kChunk, at least kChunk; tokens_max where nothing decodes.
  int64_t Tokens(int64_t decodes) const;

 private:
  double target_;
  int64_t tokens_max_;
  double decode_seconds_ = 0;  // of a step without prompt tokens
  double token_seconds_ = 0;   // of one prompt token beside it
};

}  // namespace barista
