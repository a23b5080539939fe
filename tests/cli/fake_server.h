// A server for the client's tests: answers with what the test put in, and keeps the last request of each kind.
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "barista/v1/model.grpc.pb.h"
#include "barista/v1/tokenizer.grpc.pb.h"
#include "tests/cli/fake_inference.h"
#include "tests/cli/fake_sessions.h"

namespace barista::cli {

// Keeps the metadata of the last call.
class MetadataKeeper final : public grpc::AuthMetadataProcessor {
 public:
  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*, OutputMetadata*) override {
    const absl::MutexLock lock(&mutex_);
    last_.clear();
    for (const auto& [key, value] : metadata) {
      last_.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
    }
    return grpc::Status::OK;
  }
  // "" where there is none.
  std::string Value(const std::string& key) const {
    const absl::MutexLock lock(&mutex_);
    const auto it = last_.find(key);
    return it == last_.end() ? "" : it->second;
  }

 private:
  mutable absl::Mutex mutex_;
  std::multimap<std::string, std::string> last_ ABSL_GUARDED_BY(mutex_);
};

class FakeServer final : public FakeInference,
                         public FakeSessions,
                         public v1::TokenizerService::Service,
                         public v1::ModelService::Service {
 public:
  FakeServer() {
    grpc::ServerBuilder builder;
    const auto credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
    credentials->SetAuthMetadataProcessor(metadata_);
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    builder.RegisterService(static_cast<v1::InferenceService::Service*>(this));
    builder.RegisterService(static_cast<v1::TokenizerService::Service*>(this));
    builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
    builder.RegisterService(static_cast<v1::SessionService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  // Of the last call.
  std::string metadata(const std::string& key) const { return metadata_->Value(key); }

  std::string client_api_key;  // in the client's environment

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

  const std::shared_ptr<MetadataKeeper> metadata_ = std::make_shared<MetadataKeeper>();
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace barista::cli
