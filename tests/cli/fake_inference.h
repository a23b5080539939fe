// InferenceService of the client's fake server: answers with what the test put in, and keeps what it was asked.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <vector>

#include "barista/v1/inference.grpc.pb.h"
#include "tests/cli/fake_calls.h"

namespace barista::cli {

class FakeInference : public virtual FakeCalls, public v1::InferenceService::Service {
 public:
  using ConverseStream = grpc::ServerReaderWriter<v1::ConverseResponse, v1::ConverseRequest>;

  // What the calls answer.
  std::vector<v1::GenerateResponse> stream;
  v1::ScoreResponse score_response;
  v1::ClassifyResponse classify_response;
  v1::AppendResponse append_response;
  // Answers one message of Converse; false ends the stream, with `status`. Otherwise the caller's end of sending does.
  std::function<bool(const v1::ConverseRequest&, ConverseStream&)> converse = [](auto&, auto&) { return true; };

  // What they were asked. Read after the call.
  v1::GenerateRequest generate_request;
  v1::ScoreRequest score_request;
  v1::ClassifyRequest classify_request;
  std::vector<v1::AppendRequest> append_requests;
  std::vector<v1::ConverseRequest> converse_requests;
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
    return Answer(*request, score_request, score_response, *response);
  }
  grpc::Status Classify(grpc::ServerContext*, const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override {
    return Answer(*request, classify_request, classify_response, *response);
  }
  grpc::Status Append(grpc::ServerContext* context, grpc::ServerReader<v1::AppendRequest>* reader,
                      v1::AppendResponse* response) override {
    append_requests.clear();
    *response = append_response;
    return ReadAll(*context, *reader, append_requests);
  }
  grpc::Status Converse(grpc::ServerContext*, ConverseStream* conversation) override {
    converse_requests.clear();
    v1::ConverseRequest request;
    while (conversation->Read(&request)) {
      converse_requests.push_back(request);
      if (!converse(request, *conversation)) break;
    }
    return status;
  }
};

}  // namespace barista::cli
