// A call inside the engine: its choices with their slots, how far it is, and when things happened. The engine's thread
// only.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "server/engine/call.h"
#include "server/engine/slots.h"
#include "server/engine/token_counts.h"
#include "server/text/text_stream.h"

namespace barista {

// One of the n continuations of a prompt.
struct Choice {
  SlotLease lease;                   // empty before the prompt is read (choices > 0) and after the end
  int32_t pending = -1;              // the token drawn last, not yet in the state
  int32_t generated = 0;             // tokens drawn
  TokenCounts counts;                // kept only where a penalty is on
  std::unique_ptr<TextStream> text;  // null without a tokenizer
  bool ended = false;
  TimePoint last_token;
};

struct ActiveCall {
  std::shared_ptr<Call> call;
  std::vector<Choice> choices;
  int64_t prompt_done = 0;  // prompt tokens in the state of choice 0
  bool ended = false;
  int64_t generated = 0;         // over all choices
  std::vector<int32_t> end_ids;  // the model's eos_ids end-of-sequence ids, then the request's stop token ids
  size_t eos_ids = 0;

  TimePoint arrived, admitted, prefilled;
  std::optional<TimePoint> first_token;

  const Request& request() const { return call->request(); }
  bool prompt_read() const { return prompt_done == static_cast<int64_t>(request().prompt.size()); }
};

}  // namespace barista
