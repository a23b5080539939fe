// What the process says when it ends. The numbers are part of the client's contract (`barista help`, README.md).
#pragma once

#include <grpcpp/support/status.h>

namespace barista::cli {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,             // anything without a number of its own, such as a fault of the server or DATA_LOSS
  kUsage = 2,              // the command line is wrong; nothing was sent
  kRefused = 3,            // the server refused the request: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND …
  kUnavailable = 4,        // no server there, or it is shutting down: UNAVAILABLE
  kResourceExhausted = 5,  // the server is full: RESOURCE_EXHAUSTED
  kDeadline = 6,           // DEADLINE_EXCEEDED
  kBusy = 7,               // another call runs on the session or with the request_id: ABORTED
  kInterrupted = 130,      // Ctrl-C
};

ExitCode ExitCodeOf(grpc::StatusCode code);

}  // namespace barista::cli
