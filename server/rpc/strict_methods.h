// gRPC methods whose bytes we parse ourselves: gRPC's own handler answers UNIMPLEMENTED, without a word, where they are
// not a message of the type; these answer INVALID_ARGUMENT, reason MALFORMED_REQUEST. Handlers belong to the service
// that marks its method with them (Service::MarkMethodRawCallback).
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>

#include <functional>

#include "absl/status/status.h"
#include "server/observe/metrics.h"

namespace barista {

// What is said of bytes that are not a message of the method's type.
absl::Status Malformed();

// The status of a call without a message: the caller left before it had sent one (`bytes` is not valid; no request, so
// not counted as one), or what it sent is malformed.
grpc::Status NoMessage(grpc::CallbackServerContext& context, const grpc::ByteBuffer& bytes, Metrics& metrics);

template <class Request>
bool ParseBytes(const grpc::ByteBuffer& bytes, Request& request) {
  if (!bytes.Valid()) return false;
  grpc::ByteBuffer copy(bytes);  // parsing empties it; the slices are shared
  return grpc::SerializationTraits<Request>::Deserialize(&copy, &request).ok();
}

// `call` may use the request until it returns.
template <class Request, class Response>
grpc::internal::MethodHandler* StrictUnary(
    Metrics& metrics,
    std::function<grpc::ServerUnaryReactor*(grpc::CallbackServerContext*, const Request*, Response*)> call) {
  return new grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, Response>(
      [&metrics, call = std::move(call)](grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes,
                                         Response* response) -> grpc::ServerUnaryReactor* {
        Request request;
        if (ParseBytes(*bytes, request)) return call(context, &request, response);
        grpc::ServerUnaryReactor* reactor = context->DefaultReactor();  // once: each call makes a new one
        reactor->Finish(NoMessage(*context, *bytes, metrics));
        return reactor;
      });
}

// A stream that ends with a status at once. Deletes itself.
template <class Response>
class FailedStream final : public grpc::ServerWriteReactor<Response> {
 public:
  explicit FailedStream(grpc::Status status) { this->Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

// `call` makes the reactor, which parses the messages itself: ParseBytes, else Malformed.
template <class Response>
grpc::internal::MethodHandler* StrictClientStream(
    std::function<grpc::ServerReadReactor<grpc::ByteBuffer>*(grpc::CallbackServerContext*, Response*)> call) {
  return new grpc::internal::CallbackClientStreamingHandler<grpc::ByteBuffer, Response>(std::move(call));
}

// The same.
template <class Response>
grpc::internal::MethodHandler* StrictBidi(
    std::function<grpc::ServerBidiReactor<grpc::ByteBuffer, Response>*(grpc::CallbackServerContext*)> call) {
  return new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, Response>(std::move(call));
}

template <class Request, class Response>
grpc::internal::MethodHandler* StrictServerStream(
    Metrics& metrics,
    std::function<grpc::ServerWriteReactor<Response>*(grpc::CallbackServerContext*, const Request*)> call) {
  return new grpc::internal::CallbackServerStreamingHandler<grpc::ByteBuffer, Response>(
      [&metrics, call = std::move(call)](grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* bytes) -> grpc::ServerWriteReactor<Response>* {
        Request request;
        if (ParseBytes(*bytes, request)) return call(context, &request);
        return new FailedStream<Response>(NoMessage(*context, *bytes, metrics));
      });
}

}  // namespace barista
