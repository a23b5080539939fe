// barista.v1.TokenizerService. Thread safe; Serving outlives it.
#pragma once

#include "barista/v1/tokenizer.grpc.pb.h"
#include "server/rpc/call_record.h"
#include "server/rpc/serving.h"

namespace barista {

class TokenizerService final : public v1::TokenizerService::CallbackService {
 public:
  explicit TokenizerService(const Serving& serving);

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context, const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context, const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override;

 private:
  grpc::ServerUnaryReactor* Finish(const CallRecord& record, const absl::Status& status,
                                   grpc::CallbackServerContext& context) const;
  absl::Status DoTokenize(const v1::TokenizeRequest& request, v1::TokenizeResponse& response) const;
  absl::Status DoDetokenize(const v1::DetokenizeRequest& request, v1::DetokenizeResponse& response) const;

  const Serving& serving_;
};

}  // namespace barista
