// A server for the client's tests: answers with what the test put in, and keeps the last request of each kind.
#pragma once

#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "barista/v1/inference.grpc.pb.h"
#include "barista/v1/model.grpc.pb.h"
#include "barista/v1/session.grpc.pb.h"
#include "barista/v1/tokenizer.grpc.pb.h"
#include "clients/cli/cli.h"

namespace barista::cli {

class FakeServer final : public v1::InferenceService::Service,
                         public v1::TokenizerService::Service,
                         public v1::ModelService::Service,
                         public v1::SessionService::Service {
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
  std::vector<v1::GenerateResponse> stream;
  v1::ScoreResponse score_response;
  v1::ClassifyResponse classify_response;
  v1::TokenizeResponse tokenize_response;
  v1::DetokenizeResponse detokenize_response;
  v1::GetModelResponse model_response;
  v1::CreateSessionResponse create_response;
  v1::GetSessionResponse get_response;
  std::vector<v1::ListSessionsResponse> pages;  // of ListSessions, the first for the first call
  v1::ForkSessionResponse fork_response;
  v1::AppendResponse append_response;
  std::vector<v1::ExportSessionResponse> export_stream;
  v1::ImportSessionResponse import_response;
  int busy_answers = 0;  // of GetSession, before it tells of a session that is not busy
  grpc::Status status;   // how every call ends
  std::function<void(grpc::ServerContext&)> after_stream = [](auto&) {};  // before Generate or ExportSession ends

  std::function<void(grpc::ServerContext&)> after_message = [](auto&) {};  // after each one of Append or ImportSession

  // What they were asked. Read after the call.
  v1::GenerateRequest generate_request;
  v1::ScoreRequest score_request;
  v1::ClassifyRequest classify_request;
  v1::TokenizeRequest tokenize_request;
  v1::DetokenizeRequest detokenize_request;
  v1::CreateSessionRequest create_request;
  v1::GetSessionRequest get_request;
  std::vector<v1::ListSessionsRequest> list_requests;
  v1::ForkSessionRequest fork_request;
  v1::DeleteSessionRequest delete_request;
  std::vector<v1::AppendRequest> append_requests;
  v1::ExportSessionRequest export_request;
  std::vector<v1::ImportSessionRequest> import_requests;
  std::string user_agent;

 private:
  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    generate_request = *request;
    const auto agent = context->client_metadata().find("user-agent");
    if (agent != context->client_metadata().end()) user_agent = std::string(agent->second.data(), agent->second.size());
    for (const v1::GenerateResponse& response : stream) writer->Write(response);
    after_stream(*context);
    return status;
  }
  grpc::Status Score(grpc::ServerContext*, const v1::ScoreRequest* request, v1::ScoreResponse* response) override {
    score_request = *request;
    *response = score_response;
    return status;
  }
  grpc::Status Classify(grpc::ServerContext*, const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override {
    classify_request = *request;
    *response = classify_response;
    return status;
  }
  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    tokenize_request = *request;
    *response = tokenize_response;
    return status;
  }
  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    detokenize_request = *request;
    *response = detokenize_response;
    return status;
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest*, v1::GetModelResponse* response) override {
    *response = model_response;
    return status;
  }
  grpc::Status CreateSession(grpc::ServerContext*, const v1::CreateSessionRequest* request,
                             v1::CreateSessionResponse* response) override {
    create_request = *request;
    *response = create_response;
    return status;
  }
  grpc::Status GetSession(grpc::ServerContext*, const v1::GetSessionRequest* request,
                          v1::GetSessionResponse* response) override {
    get_request = *request;
    *response = get_response;
    if (busy_answers > 0 && busy_answers-- > 0) response->mutable_session()->set_busy(true);
    return status;
  }
  grpc::Status ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    list_requests.push_back(*request);
    if (list_requests.size() <= pages.size()) *response = pages[list_requests.size() - 1];
    return status;
  }
  grpc::Status DeleteSession(grpc::ServerContext*, const v1::DeleteSessionRequest* request,
                             v1::DeleteSessionResponse*) override {
    delete_request = *request;
    return status;
  }
  grpc::Status ForkSession(grpc::ServerContext*, const v1::ForkSessionRequest* request,
                           v1::ForkSessionResponse* response) override {
    fork_request = *request;
    *response = fork_response;
    return status;
  }

  grpc::Status Append(grpc::ServerContext* context, grpc::ServerReader<v1::AppendRequest>* reader,
                      v1::AppendResponse* response) override {
    append_requests.clear();
    *response = append_response;
    return ReadAll(*context, *reader, append_requests);
  }
  grpc::Status ExportSession(grpc::ServerContext* context, const v1::ExportSessionRequest* request,
                             grpc::ServerWriter<v1::ExportSessionResponse>* writer) override {
    export_request = *request;
    for (const v1::ExportSessionResponse& piece : export_stream) writer->Write(piece);
    after_stream(*context);
    return status;
  }
  grpc::Status ImportSession(grpc::ServerContext* context, grpc::ServerReader<v1::ImportSessionRequest>* reader,
                             v1::ImportSessionResponse* response) override {
    import_requests.clear();
    *response = import_response;
    return ReadAll(*context, *reader, import_requests);
  }

  template <typename Request>
  grpc::Status ReadAll(grpc::ServerContext& context, grpc::ServerReader<Request>& reader,
                       std::vector<Request>& requests) {
    Request request;
    while (reader.Read(&request)) {
      requests.push_back(request);
      after_message(context);
    }
    return status;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A message from its text form; of a Generate stream where no type is given.
template <typename Message = v1::GenerateResponse>
Message FromText(const std::string& text_format) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text_format, &message)) << text_format;
  return message;
}

struct Result {
  int code;
  std::string out;
  std::string err;
};

struct Terminal {
  bool in = false;
  bool err = false;
};

// Collects what is printed, and calls `on_flush` with all of it whenever the client flushes: a test that must act when
// a text has been seen acts there.
class ObservedBuffer final : public std::stringbuf {
 public:
  explicit ObservedBuffer(std::function<void(const std::string&)> on_flush) : on_flush_(std::move(on_flush)) {}

 protected:
  int sync() override {
    on_flush_(str());
    return 0;
  }

 private:
  std::function<void(const std::string&)> on_flush_;
};

// Runs `barista args…` in this process against `server`.
inline Result RunBarista(
    const FakeServer& server, const std::vector<std::string>& args, const std::string& stdin_text = "",
    Terminal terminal = {}, std::function<void(const std::string&)> on_flush = [](const std::string&) {}) {
  std::istringstream in(stdin_text);
  ObservedBuffer out_buffer(std::move(on_flush));
  std::ostream out(&out_buffer);
  std::ostringstream err;
  Io io{.in = in,
        .out = out,
        .err = err,
        .in_is_terminal = terminal.in,
        .err_is_terminal = terminal.err,
        .server = server.address()};
  const int code = RunCli(args, io);
  return {code, out_buffer.str(), err.str()};
}

}  // namespace barista::cli
