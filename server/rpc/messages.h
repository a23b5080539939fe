// From the engine's values to the messages of barista.v1.
#pragma once

#include <string>

#include "barista/v1/inference.pb.h"
#include "server/engine/event.h"
#include "server/rpc/serving.h"

namespace barista {

v1::FinishReason ToProto(FinishReason reason);
void FillLogprob(int32_t token, const SampleResult& result, v1::TokenLogprob& message);
void FillUsage(const Usage& usage, v1::Usage& message);
void FillTimings(const Timings& timings, v1::Timings& message);

// The last message of a call that ended well, but for GenerateRequest.request_id.
void FillSummary(const Finished& finished, const Request& request, const Serving& serving, v1::Summary& message);
void FillAppended(const Finished& finished, const Serving& serving, v1::AppendResponse& message);
// All but session_position.
void FillFailed(const absl::Status& status, v1::ConverseFailed& message);

// The prompt as text: as given, or decoded from ids; empty without a tokenizer.
std::string PromptText(const v1::GenerateRequest& message, const std::vector<int32_t>& prompt, const Serving& serving);

}  // namespace barista
