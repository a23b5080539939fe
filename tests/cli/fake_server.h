// A server for the client's tests: answers with what the test put in, and keeps the last request of each kind.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "barista/v1/model.grpc.pb.h"
#include "barista/v1/tokenizer.grpc.pb.h"
#include "tests/cli/fake_inference.h"
#include "tests/cli/fake_sessions.h"

namespace barista::cli {

class FakeServer final : public FakeInference,
                         public FakeSessions,
                         public v1::TokenizerService::Service,
                         public v1::ModelService::Service {
 public:
  FakeServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<v1::InferenceService::Service*>(this));
    builder.RegisterService(static_cast<v1::TokenizerService::Service*>(this));
    builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
    builder.RegisterService(static_cast<v1::SessionService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  // What the calls answer.
  v1::TokenizeResponse tokenize_response;
  v1::DetokenizeResponse detokenize_response;
  v1::GetModelResponse model_response;

  // What they were asked. Read after the call.
  v1::TokenizeRequest tokenize_request;
  v1::DetokenizeRequest detokenize_request;

 private:
  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    return Answer(*request, tokenize_request, tokenize_response, *response);
  }
  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    return Answer(*request, detokenize_request, detokenize_response, *response);
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*, v1::GetModelResponse* response) override {
    *response = model_response;
    return status;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace barista::cli
