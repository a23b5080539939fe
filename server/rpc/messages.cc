#include "server/rpc/messages.h"

#include "server/engine/error.h"

namespace barista {

v1::FinishReason ToProto(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return v1::FINISH_REASON_UNSPECIFIED;
    case FinishReason::kEos:
      return v1::FINISH_REASON_EOS;
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case FinishReason::kLength:
      return v1::FINISH_REASON_LENGTH;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

void FillLogprob(int32_t token, const SampleResult& result, v1::TokenLogprob& message) {
  message.set_token_id(token);
  message.set_logprob(result.logprob);
  for (const TokenLogprob& alternative : result.top) {
    v1::Alternative& to = *message.add_alternatives();
    to.set_token_id(alternative.id);
    to.set_logprob(alternative.logprob);
  }
}

void FillUsage(const Usage& usage, v1::Usage& message) {
  message.set_prompt_tokens(usage.prompt_tokens);
  message.set_generated_tokens(usage.generated_tokens);
  message.set_cached_tokens(usage.cached_tokens);
  if (usage.drafted_tokens == 0) return;
  message.set_drafted_tokens(usage.drafted_tokens);
  message.set_accepted_tokens(usage.accepted_tokens);
}

void FillTimings(const Timings& timings, v1::Timings& message) {
  message.set_queue_seconds(timings.queue);
  message.set_prefill_seconds(timings.prefill);
  message.set_decode_seconds(timings.decode);
  message.set_time_to_first_token_seconds(timings.time_to_first_token);
  message.set_total_seconds(timings.total);
}

void FillSummary(const Finished& finished, const Request& request, const Serving& serving, v1::Summary& message) {
  FillUsage(finished.usage, *message.mutable_usage());
  FillTimings(finished.timings, *message.mutable_timings());
  message.set_seed(request.sampling.seed);
  message.set_model_fingerprint(serving.fingerprint);
  if (!request.session.empty()) message.set_session_position(finished.session_tokens);
}

void FillAppended(const Finished& finished, const Serving& serving, v1::AppendResponse& message) {
  message.set_session_position(finished.session_tokens);
  FillUsage(finished.usage, *message.mutable_usage());
  FillTimings(finished.timings, *message.mutable_timings());
  message.set_model_fingerprint(serving.fingerprint);
}

void FillFailed(const absl::Status& status, v1::ConverseFailed& message) {
  const ErrorDetail detail = DetailOf(status);
  message.set_code(static_cast<int32_t>(status.code()));  // absl's codes are google.rpc's
  message.set_reason(std::string(Name(detail.reason)));
  message.set_field(detail.field);
  message.set_message(std::string(status.message()));
}

std::string PromptText(const v1::GenerateRequest& message, const std::vector<int32_t>& prompt, const Serving& serving) {
  if (message.has_text()) return message.text();
  return serving.tokenizer == nullptr ? "" : serving.tokenizer->Decode(prompt);
}

}  // namespace barista
