#include "clients/cli/generation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace barista::cli {
namespace {

// More choices than any server allows; a wrong index must not make us allocate.
constexpr uint32_t kChoicesMax = 4096;

std::string FinishReasonName(v1::FinishReason reason) {
  const google::protobuf::EnumValueDescriptor* value = v1::FinishReason_descriptor()->FindValueByNumber(reason);
  return value == nullptr ? absl::StrCat(reason) : EnumName(*value);
}

template <typename Tokens>
void AddLogprobs(const Tokens& tokens, Json& json) {
  Json logprobs = Json::array();
  Json alternatives = Json::array();
  bool any = false;
  for (const v1::TokenLogprob& token : tokens) {
    logprobs.push_back(token.has_logprob() ? FloatJson(token.logprob()) : Json(nullptr));
    alternatives.push_back(AlternativesJson(token));
    any = any || token.alternatives_size() > 0;
  }
  if (logprobs.empty()) return;
  json["logprobs"] = logprobs;
  if (any) json["alternatives"] = alternatives;
}

Json ChoiceJson(const Choice& choice) {
  Json json = {{"text", choice.text}, {"tokens", choice.tokens}};
  json["finish_reason"] = FinishReasonName(choice.finish_reason);
  if (choice.stop_string.has_value()) json["stop_string"] = *choice.stop_string;
  if (choice.stop_token_id.has_value()) json["stop_token_id"] = *choice.stop_token_id;
  AddLogprobs(choice.logprobs, json);
  return json;
}

}  // namespace

void Generation::Add(const v1::GenerateResponse& response) {
  if (response.has_summary()) summary = response.summary();
  if (response.has_prompt()) {
    if (!prompt.has_value()) prompt.emplace();
    prompt->mutable_text()->append(response.prompt().text());
    prompt->mutable_token_ids()->MergeFrom(response.prompt().token_ids());
    prompt->mutable_logprobs()->MergeFrom(response.prompt().logprobs());
  }
  if (!response.has_chunk() || response.chunk().choice() >= kChoicesMax) return;
  const v1::Chunk& chunk = response.chunk();
  if (choices.size() <= chunk.choice()) choices.resize(chunk.choice() + 1);
  Choice& choice = choices[chunk.choice()];
  choice.text += chunk.text();
  choice.tokens.insert(choice.tokens.end(), chunk.token_ids().begin(), chunk.token_ids().end());
  choice.logprobs.insert(choice.logprobs.end(), chunk.logprobs().begin(), chunk.logprobs().end());
  if (chunk.has_finish_reason()) choice.finish_reason = chunk.finish_reason();
  if (chunk.has_stop_string()) choice.stop_string = chunk.stop_string();
  if (chunk.has_stop_token_id()) choice.stop_token_id = chunk.stop_token_id();
}

Json GenerationJson(const Generation& generation) {
  Json json = ChoiceJson(generation.choices.front());
  if (generation.choices.size() > 1) {
    json["choices"] = Json::array();
    for (const Choice& choice : generation.choices) json["choices"].push_back(ChoiceJson(choice));
  }
  if (generation.prompt.has_value()) {
    Json& prompt = json["prompt"] = {{"text", generation.prompt->text()}};
    prompt["tokens"] =
        std::vector<uint32_t>(generation.prompt->token_ids().begin(), generation.prompt->token_ids().end());
    AddLogprobs(generation.prompt->logprobs(), prompt);
  }
  const v1::Summary summary = generation.summary.value_or(v1::Summary());
  json["usage"] = UsageJson(summary.usage());
  json["timings"] = TimingsJson(summary.timings());
  json["seed"] = summary.seed();
  json["model_fingerprint"] = summary.model_fingerprint();
  if (!summary.request_id().empty()) json["request_id"] = summary.request_id();
  if (summary.has_session_position()) json["session_position"] = summary.session_position();
  if (summary.has_sealed_state()) json["sealed_state_bytes"] = summary.sealed_state().size();
  return json;
}

std::string StatisticsLine(const Generation& generation) {
  if (!generation.summary.has_value()) return "";
  const v1::Usage& usage = generation.summary->usage();
  const v1::Timings& timings = generation.summary->timings();
  std::string line = absl::StrCat(usage.generated_tokens(), " tokens");
  // The first token of every choice falls to the prefill's time, not to the decode's.
  const double decoded = static_cast<double>(usage.generated_tokens()) - static_cast<double>(generation.choices.size());
  if (decoded > 0 && timings.decode_seconds() > 0) {
    absl::StrAppendFormat(&line, " at %.1f tokens/s", decoded / timings.decode_seconds());
  }
  absl::StrAppendFormat(&line, ", first after %.0f ms", timings.time_to_first_token_seconds() * 1e3);
  absl::StrAppend(&line, "; prompt ", usage.prompt_tokens(), " tokens");
  const uint64_t computed = usage.prompt_tokens() - std::min(usage.prompt_tokens(), usage.cached_tokens());
  if (computed > 0 && timings.prefill_seconds() > 0) {
    absl::StrAppendFormat(&line, " at %.1f tokens/s", static_cast<double>(computed) / timings.prefill_seconds());
  }
  if (usage.cached_tokens() > 0) absl::StrAppend(&line, ", ", usage.cached_tokens(), " cached");
  if (usage.has_drafted_tokens()) {
    absl::StrAppend(&line, "; ", usage.accepted_tokens(), " of ", usage.drafted_tokens(), " drafted tokens accepted");
  }
  const std::string reasons = absl::StrJoin(generation.choices, ", ", [](std::string* out, const Choice& choice) {
    out->append(FinishReasonName(choice.finish_reason));
  });
  absl::StrAppend(&line, "; finish: ", reasons, "; seed ", generation.summary->seed());
  if (generation.summary->has_session_position()) {
    absl::StrAppend(&line, "; session at position ", generation.summary->session_position());
  }
  return line;
}

}  // namespace barista::cli
