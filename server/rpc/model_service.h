// barista.v1.ModelService: what is served, its memory and limits. Thread safe; Serving outlives it.
#pragma once

#include "barista/v1/model.grpc.pb.h"
#include "server/rpc/serving.h"

namespace barista {

class ModelService final : public v1::ModelService::CallbackService {
 public:
  explicit ModelService(const Serving& serving);

  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  const Serving& serving_;
  v1::GetModelResponse answer_;  // never changes
};

}  // namespace barista
