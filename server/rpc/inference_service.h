// barista.v1.InferenceService on gRPC's callback API. Thread safe; Serving outlives it.
#pragma once

#include "barista/v1/inference.grpc.pb.h"
#include "server/rpc/serving.h"

namespace barista {

class InferenceService final : public v1::InferenceService::CallbackService {
 public:
  explicit InferenceService(const Serving& serving);

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(grpc::CallbackServerContext* context,
                                                           const v1::GenerateRequest* request) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
                                  v1::ScoreResponse* response) override;
  grpc::ServerUnaryReactor* Classify(grpc::CallbackServerContext* context, const v1::ClassifyRequest* request,
                                     v1::ClassifyResponse* response) override;

 private:
  const Serving& serving_;
};

}  // namespace barista
