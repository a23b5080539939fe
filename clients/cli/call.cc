#include "clients/cli/call.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/interrupt.h"

namespace barista::cli {

std::shared_ptr<grpc::Channel> Connect(const Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);  // the answer to Score is as long as the text
  arguments.SetUserAgentPrefix(absl::StrCat("barista-cli/", BARISTA_VERSION));
  return grpc::CreateCustomChannel(options.server, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(grpc::ClientContext& context, const Options& options) {
  if (!options.deadline.has_value()) return;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::microseconds(static_cast<int64_t>(*options.deadline * 1e6)));
}

int RunCall(const Options& options, Io& io, const std::function<grpc::Status(grpc::ClientContext&)>& call,
            const std::function<Json()>& before_report) {
  grpc::ClientContext context;
  SetDeadline(context, options);
  std::atomic<bool> interrupted = false;
  grpc::Status status;
  {
    const InterruptScope scope([&] {
      if (interrupted.exchange(true)) _exit(kInterrupted);
      context.TryCancel();
    });
    status = call(context);
  }
  if (status.ok()) return kOk;
  const Json fields = before_report();
  if (interrupted && !options.json) {
    io.err << "barista: interrupted" << std::endl;
    return kInterrupted;
  }
  const int exit_code = ReportCallError(status, fields, options, io);
  return interrupted ? kInterrupted : exit_code;
}

}  // namespace barista::cli
