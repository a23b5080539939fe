#include "server/rpc/inference_service.h"

#include "server/rpc/append_stream.h"
#include "server/rpc/call_end.h"
#include "server/rpc/converse_stream.h"
#include "server/rpc/generate_stream.h"
#include "server/rpc/messages.h"
#include "server/rpc/request.h"
#include "server/rpc/strict_methods.h"
#include "server/rpc/unary_call.h"

namespace barista {

// The numbers are those of the methods in inference.proto, in order.
InferenceService::InferenceService(const Serving& serving) : serving_(serving) {
  Metrics& metrics = serving.metrics;
  MarkMethodRawCallback(0, StrictServerStream<v1::GenerateRequest, v1::GenerateResponse>(
                               metrics, [this](auto* context, auto* request) { return Generate(context, request); }));
  MarkMethodRawCallback(1, StrictUnary<v1::ScoreRequest, v1::ScoreResponse>(
                               metrics, [this](auto* context, auto* request, auto* response) {
                                 return Score(context, request, response);
                               }));
  MarkMethodRawCallback(2, StrictUnary<v1::ClassifyRequest, v1::ClassifyResponse>(
                               metrics, [this](auto* context, auto* request, auto* response) {
                                 return Classify(context, request, response);
                               }));
  MarkMethodRawCallback(3, StrictClientStream<v1::AppendResponse>([this](auto* context, auto* response) {
                          return new AppendStream(context, response, serving_);
                        }));
  MarkMethodRawCallback(
      4, StrictBidi<v1::ConverseResponse>([this](auto* context) { return ConverseStream::Start(context, serving_); }));
}

grpc::ServerWriteReactor<v1::GenerateResponse>* InferenceService::Generate(grpc::CallbackServerContext* context,
                                                                           const v1::GenerateRequest* request) {
  return new GenerateStream(context, request, serving_);
}

grpc::ServerUnaryReactor* InferenceService::Score(grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
                                                  v1::ScoreResponse* response) {
  const auto add = [response, this](const Request& parsed, Event event) {
    if (response->tokens_size() == 0) {
      response->add_tokens()->set_token_id(parsed.prompt[0]);
      response->set_total_logprob(0);
      response->set_model_fingerprint(serving_.fingerprint);
    }
    if (const auto* logprobs = std::get_if<PromptLogprobs>(&event)) {
      for (const SampleResult& result : logprobs->tokens) {
        const int32_t token = parsed.prompt[response->tokens_size()];
        FillLogprob(token, result, *response->add_tokens());
        response->set_total_logprob(response->total_logprob() + result.logprob);
      }
    } else if (const auto* finished = std::get_if<Finished>(&event)) {
      FillUsage(finished->usage, *response->mutable_usage());
      FillTimings(finished->timings, *response->mutable_timings());
    }
  };
  return new UnaryCall(*context, "Score", ParseScore(*request, serving_, DeadlineOf(*context, serving_)), serving_,
                       add);
}

grpc::ServerUnaryReactor* InferenceService::Classify(grpc::CallbackServerContext* context,
                                                     const v1::ClassifyRequest* request,
                                                     v1::ClassifyResponse* response) {
  const auto add = [response, this](const Request&, Event event) {
    const auto* finished = std::get_if<Finished>(&event);
    if (finished == nullptr) return;
    for (double logit : finished->class_logits) response->add_logits(static_cast<float>(logit));
    FillUsage(finished->usage, *response->mutable_usage());
    FillTimings(finished->timings, *response->mutable_timings());
    response->set_model_fingerprint(serving_.fingerprint);
  };
  return new UnaryCall(*context, "Classify", ParseClassify(*request, serving_, DeadlineOf(*context, serving_)),
                       serving_, add);
}

}  // namespace barista
