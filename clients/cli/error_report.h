// Says on stderr what went wrong, as text for people or, with --json, as one object:
//   {"error": {"code", "message", "reason"?, "metadata"?: {"durable_position"?}, "retry_delay_seconds"?,
//              "field_violations"?: [{"field", "description"}]}}
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/io.h"
#include "clients/cli/json.h"

namespace barista::cli {

// A mistake on the command line; `code` in JSON is "USAGE".
void ReportUsageError(absl::string_view message, bool json, Io& io);

// Input that could not be had, or output that could not be put: a usage error (InvalidArgument), or something around
// us, such as a file that cannot be read; then `code` in JSON is "CLIENT". Returns the ExitCode that stands for it.
int ReportInputError(const absl::Status& status, const Options& options, Io& io);

// A failed call, with the google.rpc details that came with it; `fields` (an object) joins the error of --json. Returns
// the ExitCode that stands for it.
int ReportCallError(const grpc::Status& status, const Json& fields, const Options& options, Io& io);

// What failed on a Converse stream, as the status that a call of its own would have ended with.
grpc::Status StatusOf(const v1::ConverseFailed& failed);

}  // namespace barista::cli
