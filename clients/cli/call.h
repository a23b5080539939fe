// Calls to the server: the channel, the deadline, Ctrl-C, and the report of what went wrong.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>

#include "absl/strings/string_view.h"
#include "clients/cli/command.h"
#include "clients/cli/io.h"
#include "clients/cli/json.h"

namespace barista::cli {

// A channel to options.server, straight (http_proxy does not apply). Connects at the first call. Every call shows the
// API key, and names `session` ("sessions/demo"; empty: none) in its metadata: a proxy in front of several servers
// sends all calls on a session to one of them by it.
std::shared_ptr<grpc::Channel> Connect(const Options& options, absl::string_view session = "");

// Gives the context the deadline of --deadline_s, where it is set.
void SetDeadline(grpc::ClientContext& context, const Options& options);

// Runs `call` with a context that carries the deadline and that Ctrl-C cancels (a second one ends the process).
// Returns kOk, or the ExitCode of the failure, which has been reported on io.err; `before_report` runs first then, and
// with --json its fields join the error object.
int RunCall(
    const Options& options, Io& io, const std::function<grpc::Status(grpc::ClientContext&)>& call,
    const std::function<Json()>& before_report = [] { return Json::object(); });

// Declares --request_id, which every request of InferenceService has. `request` outlives `flags`.
template <typename Request>
void AddRequestIdFlag(FlagSet& flags, Request& request) {
  flags.Value("request_id", "NAME", "A name of your own for this call; generate --json shows it again.",
              [&request](absl::string_view name) {
                request.set_request_id(std::string(name));
                return absl::OkStatus();
              });
}

}  // namespace barista::cli
