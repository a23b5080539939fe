#include "server/rpc/strict_methods.h"

#include "server/engine/error.h"
#include "server/rpc/call_record.h"
#include "server/rpc/status_map.h"

namespace barista {

absl::Status Malformed() {
  return MakeError({.reason = ErrorReason::kMalformedRequest},
                   "the bytes of the request are not a message of its type (see proto/)");
}

grpc::Status NoMessage(grpc::CallbackServerContext& context, const grpc::ByteBuffer& bytes, Metrics& metrics) {
  if (!bytes.Valid()) return grpc::Status(grpc::StatusCode::CANCELLED, "the caller left before its request came");
  const absl::Status status = Malformed();
  CallRecord(context, "unknown", metrics).End(status);  // gRPC does not say which
  return ToGrpcStatus(status);
}

}  // namespace barista
