// Who runs in the next step: a pure function of what waits, what runs, the tenants' credits and the token budget.
//
// A step takes one token of every decoding sequence, with those drafted after it, then prompt tokens, oldest prompt
// first, up to the budget. Prompts are cut at absolute positions divisible by kChunk or at their end and nowhere else,
// so neither the budget nor the credits ever change bits.
//
// Where several tenants have something to run, each spends credit (tenants.h): seconds that its rows add to a step. One
// without credit waits, so what a greedy tenant can add to the others' steps is bounded by its weight, however many
// streams and prompts it has. Within a tenant the sequence that has waited longest goes first.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"

namespace barista {

// One running sequence, in order of arrival.
struct Runnable {
  int64_t position = 0;     // tokens in its state
  int64_t prompt_left = 0;  // prompt tokens still to read; 0: decoding
  bool paused = false;      // its reader is slow, or its tenant above its rate: no step until that is over
  int32_t draft = 0;        // of a decode: drafted tokens to verify with it
  int32_t tenant = 0;       // into the list of shares
  uint64_t last = 0;        // number of the step in which it ran last, or came
};

// One tenant that has something to run.
struct Share {
  double weight = 1;
  double credit = std::numeric_limits<double>::infinity();  // seconds; it gets rows while this is above 0
};

struct StepBudget {
  int64_t rows_max = 512;        // tokens of a step, decodes included
  int64_t prefill_tokens = 512;  // prompt tokens of a step beside decodes; at least one cut is always taken
  double row_seconds = 0;        // what one decoding sequence adds to a step
  double token_seconds = 0;      // what one prompt token adds
};

struct Scheduled {
  int32_t index = 0;   // into the list of runnables
  int32_t tokens = 0;  // of a decode 1 and the drafted ones
  bool prefill = false;
};

// Writes the plan to `plan` (cleared first): decodes in order of arrival, then prompts. Drafted tokens get rows that
// neither another decode nor a prompt's one cut wants, as far as there are any. Where more sequences decode than
// rows_max, tenants take turns, and within one those that have waited longest. A single share has no limit. Without
// decodes credits give the order of prompts alone, so a step is never left empty for want of credit.
void Schedule(absl::Span<const Runnable> runnables, absl::Span<const Share> shares, const StepBudget& budget,
              std::vector<Scheduled>& plan);

// How many prompt tokens to read beside running decodes so that a step stays near `target` seconds, from what steps
// have cost so far, and what a row of a step costs. Changes speed only, never bits.
class PrefillPace {
 public:
  PrefillPace(double target_seconds, int64_t tokens_max) : target_(target_seconds), tokens_max_(tokens_max) {}

  // After each step: its duration and what it held.
  void Observe(double seconds, int64_t decodes, int64_t prefill_tokens);
  // Tokens for the next step: a multiple of kChunk, at least kChunk; tokens_max where nothing decodes.
  int64_t Tokens(int64_t decodes) const;

  // What one more decode adds to a step: the slope of steps without prompt tokens, and the whole of a step divided by
  // its rows until steps of different sizes were seen.
  double row_seconds() const { return row_seconds_; }
  double token_seconds() const { return token_seconds_; }  // 0 until a prompt was read

 private:
  void ObserveRows(double rows, double seconds);

  double target_;
  int64_t tokens_max_;
  double decode_seconds_ = 0;  // of a step without prompt tokens
  double token_seconds_ = 0;   // of one prompt token beside it
  double row_seconds_ = 0;
  // Weighted means over steps without prompt tokens, the newest weighing most.
  double rows_ = 0, seconds_ = 0, rows_rows_ = 0, rows_seconds_ = 0;
};

}  // namespace barista
