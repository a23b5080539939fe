// A call inside the engine: its choices with their slots, how far it is, and when things happened. The engine's thread
// only.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "server/engine/call.h"
#include "server/engine/prefix_cache.h"
#include "server/engine/replay.h"
#include "server/engine/session.h"
#include "server/engine/session_homes.h"
#include "server/engine/speculation.h"
#include "server/engine/tenants.h"
#include "server/text/text_stream.h"

namespace barista {

// One of the n continuations of a prompt.
struct Choice {
  Sequence sequence;                 // its lease is empty before admission and after the end
  int32_t generated = 0;             // tokens drawn
  std::unique_ptr<TextStream> text;  // null without a tokenizer
  bool ended = false;
  std::optional<TimePoint> last_token;       // when it was delivered
  uint64_t ran = 0;                          // number of the step in which it ran last, or came
  std::unique_ptr<Speculation> speculation;  // null where not asked for
};

struct ActiveCall {
  std::shared_ptr<Call> call;
  std::vector<Choice> choices;
  std::shared_ptr<const SessionHomes::Held> held;  // its session's name
  Tenant* tenant = nullptr;                        // once the engine's thread has the call
  int64_t queued = 0;                              // tokens of its prompt that count against queued_tokens_max
  Session* session = nullptr;                      // that the call runs on
  bool opening = false;                            // that was empty: its prompt is request().opening
  bool settling = false;                           // its pending token goes into the state before the prompt
  std::vector<int32_t> appended;                   // kAppend: what was fed and is not dropped yet, instead of a prompt
  int64_t dropped = 0;                             // tokens before `appended`
  bool fed_last = false;                           // nothing will be fed any more
  int64_t prompt_done = 0;                         // tokens of prompt() in the state of choice 0
  int64_t cached = 0;                              // of these, how many came from a kept state
  std::vector<PrefixKey> keys;                     // of the prompt, where prefixes are looked up
  std::vector<int64_t> keep_at;    // positions of the prompt at which the state is to be kept, the last one first
  std::unique_ptr<Replay> replay;  // kRewind
  // From position 0 on, prompt and drawn; null but for a sampled call (drift_probe.h).
  std::unique_ptr<std::vector<int32_t>> sampled_tokens;
  // Of a call whose session is on its way to a slot: set once the state is in memory, or with the reason why not.
  std::shared_ptr<std::optional<absl::Status>> brought;
  bool waits_for_session = false;  // and so the session is busy
  bool ended = false;
  int64_t generated = 0;  // over all choices
  int64_t drafted = 0, accepted = 0;
  std::vector<Token> late;       // drawn in the last step and not delivered yet (Engine::MayWait)
  std::vector<int32_t> end_ids;  // the model's eos_ids end-of-sequence ids, then the request's stop token ids
  size_t eos_ids = 0;

  TimePoint arrived, admitted, prefilled;
  std::optional<TimePoint> first_token;

  const Request& request() const { return call->request(); }
  const std::vector<int32_t>& prompt() const {
    if (request().kind == RequestKind::kAppend) return appended;
    if (replay != nullptr) return replay->tokens();
    return opening ? request().opening : request().prompt;
  }
  int64_t prompt_tokens() const { return dropped + static_cast<int64_t>(prompt().size()); }
  // Whether what is seen and drawn is counted: for a penalty, or for one that a later call of the session may have.
  bool counts_tokens() const { return session != nullptr || request().seal || request().sampling.penalises(); }
  // Whether the state of its one choice outlives the draw of its last token.
  bool keeps_state() const { return session != nullptr || request().seal; }
  bool prompt_read() const { return prompt_done == static_cast<int64_t>(prompt().size()); }
};

}  // namespace barista
