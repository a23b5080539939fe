// From logits to the next token of each row. Everything a row needs is in its SampleRow: neighbours never matter.
//
// Order: logit_bias, penalties (repetition over prompt and output, presence and frequency over output), mask of
// forbidden ids (min_tokens, ignore_eos), temperature, top_k, typical_p, top_p, min_p, draw. Log-probabilities are of
// the raw logits (log-softmax before any of these). Ties go to the lowest id. temperature 0 is greedy: the largest
// logit after bias, penalties and mask; nothing is drawn. Sources: top_p arXiv 1904.09751; typical_p arXiv 2202.00666;
// repetition penalty arXiv 1909.05858; min_p arXiv 2407.01082.
//
// Every filter works on the distribution that the previous one left, renormalised, and leaves at least one token. top_k
// keeps exactly k. top_p and typical_p keep the shortest beginning of their order (by logit, by typicality) whose
// probabilities sum to at least the given mass. The draw walks the remaining tokens by ascending id and takes the first
// at which the sum of probabilities exceeds UniformAt(seed, choice, position). Neutral values switch a filter off.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "kernels/view.h"

namespace barista {

// Limits are the RPC edge's business (see LIMITS in server/config.h); these are the meanings and neutral values.
struct SamplingParams {
  float temperature = 1.0f;         // >= 0; 0 = greedy
  int32_t top_k = 0;                // 0 = off; keep the k largest
  float top_p = 1.0f;               // (0, 1]; keep the smallest set of largest probabilities whose sum reaches it
  float min_p = 0.0f;               // [0, 1]; drop tokens below min_p * the largest probability (compared as logits)
  float typical_p = 1.0f;           // (0, 1]; keep the most typical tokens (|-log p - H| smallest) up to this mass
  float repetition_penalty = 1.0f;  // > 0; seen ids: logit / r if logit > 0 else logit * r
  float presence_penalty = 0.0f;    // subtracted once from ids in the output
  float frequency_penalty = 0.0f;   // subtracted times the count in the output
  bool penalises() const { return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0; }

  std::vector<std::pair<int32_t, float>> logit_bias;  // added to these ids; sorted by id, unique; -inf forbids
  uint64_t seed = 0;
};

// How often an id was seen by one sequence.
struct TokenCount {
  int32_t id = 0;
  bool in_prompt = false;
  int32_t in_output = 0;
};

// Ids (of bias, counts, forbidden) lie in [0, vocab): the caller has checked them.
struct SampleRow {
  const SamplingParams* params = nullptr;
  absl::Span<const TokenCount> counts;  // any order, unique ids
  absl::Span<const int32_t> forbidden;  // ids masked to -inf at this position
  uint64_t choice = 0;                  // counter of the random numbers, with position (of the token drawn)
  uint64_t position = 0;
  int32_t top_logprobs = -1;  // -1: no log-probabilities at all; k >= 0: the chosen token's and the k largest
  // For steps that go on without their caller (Backend::ContinueStep): ids after which the row draws no more, how many
  // draws may follow this one, and how many ids they may add to `counts`, where each draw is counted that penalties
  // ask for. Not read otherwise.
  absl::Span<const int32_t> ends;
  int64_t draws_left = 0;
  int32_t counts_room = 0;
};

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;  // nats, of the raw logits
};

struct SampleResult {
  int32_t token = -1;  // -1 where the row failed
  bool finite = true;  // false: a NaN or +inf logit, or nothing left to draw from; the row's request fails alone
  float logprob = 0;   // where asked for
  std::vector<TokenLogprob> top;  // largest first, ties by lowest id
};

// Uniform in [0, 1) with 53 bits, a pure function of its arguments: Philox 4x32-10 (Salmon et al., SC 2011), key =
// seed, counter = (choice, position).
double UniformAt(uint64_t seed, uint64_t choice, uint64_t position);

// One row of logits [V]; the truth: plain loops, edits and comparisons in T, probabilities in double.
template <class T>
SampleResult SampleRef(const T* logits, int64_t vocab, const SampleRow& row);
// float; the same token as SampleRef<float> wherever the draw is not within rounding of a boundary, and a pure function
// of its arguments. `scratch`: at least vocab floats, owned by the calling thread. Allocates only result.top and, the
// first time a thread meets a longer row, that thread's working arrays.
SampleResult SampleCpu(const float* logits, int64_t vocab, const SampleRow& row, float* scratch);

// What SampleRef draws from: the probability of every id after all filters, 0 for those dropped. Empty where the row is
// not finite.
template <class T>
std::vector<double> DistributionRef(const T* logits, int64_t vocab, const SampleRow& row);

// log-softmax of the raw logits at `target` in [0, vocab), and the k largest (all, where k > vocab). finite = false
// where a logit is NaN or +inf, or all are -inf.
template <class T>
SampleResult LogprobsRef(const T* logits, int64_t vocab, int32_t target, int32_t k);
SampleResult LogprobsCpu(const float* logits, int64_t vocab, int32_t target, int32_t k);

}  // namespace barista
