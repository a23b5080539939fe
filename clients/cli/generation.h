// One Generate call as a value: what its stream brought, put together, and the same as JSON or a line of statistics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "barista/v1/inference.pb.h"
#include "clients/cli/json.h"

namespace barista::cli {

struct Choice {
  std::string text;
  std::vector<uint32_t> tokens;
  std::vector<v1::TokenLogprob> logprobs;  // as many as tokens, or none
  v1::FinishReason finish_reason = v1::FINISH_REASON_UNSPECIFIED;
  std::optional<std::string> stop_string;
  std::optional<uint32_t> stop_token_id;
};

struct Generation {
  std::optional<v1::PromptEcho> prompt;  // its pieces joined
  std::vector<Choice> choices = {Choice{}};
  std::optional<v1::Summary> summary;

  // Adds one message of the stream. A choice index that no request can have is ignored.
  void Add(const v1::GenerateResponse& response);
};

// {"text", "tokens", "finish_reason", …, "usage", "timings", "seed", "model_fingerprint", …}: the fields of the first
// choice lie at the top; with several choices, all of them are in "choices" as well.
Json GenerationJson(const Generation& generation);

// "24 tokens at 310 tokens/s, first after 21 ms; prompt 12 tokens at 800 tokens/s; finish: length". Empty without a
// summary.
std::string StatisticsLine(const Generation& generation);

}  // namespace barista::cli
