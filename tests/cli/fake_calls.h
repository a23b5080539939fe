// What all services of the client's fake server share: how calls end, and what a test does in the middle of them.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <vector>

namespace barista::cli {

struct FakeCalls {
  FakeCalls() = default;
  FakeCalls(const FakeCalls&) = delete;
  FakeCalls& operator=(const FakeCalls&) = delete;

  grpc::Status status;                                                     // how every call ends
  std::function<void(grpc::ServerContext&)> after_stream = [](auto&) {};   // before Generate or ExportSession ends
  std::function<void(grpc::ServerContext&)> after_message = [](auto&) {};  // after each one of Append or ImportSession

 protected:
  // Keeps the request and answers with what the test put in.
  template <typename Request, typename Response>
  grpc::Status Answer(const Request& request, Request& kept, const Response& answer, Response& response) const {
    kept = request;
    response = answer;
    return status;
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
};

}  // namespace barista::cli
