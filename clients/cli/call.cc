#include "clients/cli/call.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_interceptor.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/interrupt.h"

namespace barista::cli {

namespace {

// Adds the same metadata to every call of a channel.
class AddMetadata final : public grpc::experimental::Interceptor,
                          public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  explicit AddMetadata(Metadata metadata) : metadata_(std::move(metadata)) {}

  Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new AddMetadata(metadata_);
  }
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert(metadata_.begin(), metadata_.end());
    }
    methods->Proceed();
  }

 private:
  const Metadata metadata_;
};

// gRPC ends the process over metadata with other bytes; what is no name the server refuses.
bool MayBeMetadata(absl::string_view text) { return std::all_of(text.begin(), text.end(), absl::ascii_isgraph); }

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const Options& options, absl::string_view session) {
  const Security& security = options.security;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);  // the answer to Score is as long as the text
  arguments.SetUserAgentPrefix(absl::StrCat("barista-cli/", BARISTA_VERSION));
  if (!security.server_name.empty()) arguments.SetSslTargetNameOverride(security.server_name);
  AddMetadata::Metadata metadata;
  if (!security.api_key.empty()) metadata.emplace_back("authorization", absl::StrCat("Bearer ", security.api_key));
  if (!session.empty() && MayBeMetadata(session)) metadata.emplace_back("x-barista-session", session);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<AddMetadata>(std::move(metadata)));
  return grpc::experimental::CreateCustomChannelWithInterceptors(options.server, CredentialsOf(security), arguments,
                                                                 std::move(interceptors));
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
