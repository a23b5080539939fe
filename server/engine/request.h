// A valid request, as the engine sees it: the RPC edge has checked every field against the model and the limits, so
// nothing here can be out of range. Plain values; no gRPC or protobuf types come this far.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/sampling/sampling.h"
#include "server/engine/clock.h"
#include "server/engine/sequence.h"
#include "server/text/stop_strings.h"

namespace barista {

enum class RequestKind : uint8_t { kGenerate, kScore, kClassify, kAppend, kRewind };

enum class FinishReason : uint8_t { kNone, kEos, kStopToken, kStopString, kLength };

struct StopParams {
  int32_t max_tokens = 256;  // >= 1, of each choice
  int32_t min_tokens = 0;    // no end token and no stop string before this many
  std::shared_ptr<const StopStrings> stop_strings = std::make_shared<const StopStrings>();  // never null
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;  // end-of-sequence ids are masked
};

// Exactly one is set.
struct RewindTarget {
  int64_t tokens = 0;  // back
  std::string mark;
  int64_t turns = 0;  // back
};

struct Request {
  RequestKind kind = RequestKind::kGenerate;
  std::vector<int32_t> prompt;   // at least one token (none: a session goes on); what is scored or classified
  std::string tenant;            // whose prompts and sessions these are
  std::string session;           // key of the session to continue; empty: none
  std::vector<int32_t> opening;  // instead of prompt, where that session is empty: with special tokens
  std::string mark;              // names the position after the call, with a session; empty: none
  SamplingParams sampling;
  StopParams stop;
  int32_t n = 1;                             // choices; 1 with a session
  int32_t logprobs = -1;                     // of generated tokens: -1 none, k >= 0 the token's own and the k largest
  int32_t prompt_logprobs = -1;              // the same for the prompt; a Score request has it >= 0
  bool cache = true;                         // states of earlier prompts may be used, and this one's kept
  std::shared_ptr<const SessionCopy> start;  // a past to continue instead of a session's
  bool seal = false;                         // the state after the call is wanted
  RewindTarget rewind;                       // kRewind
  TimePoint deadline = TimePoint::max();
};

}  // namespace barista
