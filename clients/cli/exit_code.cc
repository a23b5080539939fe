#include "clients/cli/exit_code.h"

namespace barista::cli {

ExitCode ExitCodeOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK:
      return kOk;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return kRefused;
    case grpc::StatusCode::UNAVAILABLE:
      return kUnavailable;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return kResourceExhausted;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return kDeadline;
    case grpc::StatusCode::ABORTED:
      return kBusy;
    default:  // a fault of the server: INTERNAL, or DATA_LOSS of a snapshot that was damaged where it lay
      return kFailed;
  }
}

}  // namespace barista::cli
