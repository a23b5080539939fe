// What the engine tells the caller of a request, in order: progress and log-probabilities of the prompt, tokens of all
// choices, and one Finished.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sampling/sampling.h"
#include "server/engine/request.h"

namespace barista {

// `done` of the prompt's tokens are in the state. Only for prompts that need several steps.
struct PrefillProgress {
  int64_t done = 0;
  int64_t total = 0;
};

// Log-probabilities of prompt tokens [begin, begin + tokens.size()); begin >= 1: the first token has none.
struct PromptLogprobs {
  int64_t begin = 0;
  std::vector<SampleResult> tokens;
};

struct Token {
  int32_t choice = 0;
  int32_t id = -1;                            // -1: no token, only held-back text or the end of the choice
  std::string text;                           // whole characters that became final
  SampleResult logprobs;                      // where asked for
  FinishReason finish = FinishReason::kNone;  // set in a choice's last Token
  int32_t stop_index = -1;                    // kStopString: which of the request's stop strings
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t drafted_tokens = 0;   // with speculation: verified in a step that drew the token before them
  int64_t accepted_tokens = 0;  // of these, drawn
};

struct Timings {  // seconds
  double queue = 0;
  double prefill = 0;
  double decode = 0;
  double time_to_first_token = 0;
  double total = 0;
};

// Always the last event. Not OK: Cancelled, DeadlineExceeded, ResourceExhausted, Internal (non-finite), Unavailable.
struct Finished {
  absl::Status status;
  Usage usage;
  Timings timings;
  std::vector<double> class_logits;           // of a Classify request
  int64_t session_tokens = 0;                 // of the session's past now, where the request names one
  int64_t replayed_tokens = 0;                // of a rewind
  std::shared_ptr<const SessionCopy> sealed;  // the state after the call, where asked for
};

using Event = std::variant<PrefillProgress, PromptLogprobs, Token, Finished>;

}  // namespace barista
