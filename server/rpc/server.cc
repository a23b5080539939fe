#include "server/rpc/server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "server/observe/log.h"
#include "server/rpc/server_credentials.h"

namespace barista {
namespace {

// HOST:PORT with the port replaced by the one that was bound.
std::string WithPort(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

// gRPC's own lines, of errors only, go where ours go.
void LogLine(gpr_log_func_args* args) { LogError("grpc", {{"message", args->message}}); }

void Configure(grpc::ServerBuilder& builder, const Limits& limits) {
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is an error, never shared in silence
  builder.SetMaxReceiveMessageSize(static_cast<int>(limits.message_bytes_max));
  // Clients may ping every 10 s, also without calls; dead peers are found within 80 s.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 4096);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const Serving& serving, const TlsFiles* tls,
                                                            const std::string& listen,
                                                            const std::string& metrics_listen) {
  gpr_set_log_function(LogLine);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::channelz::experimental::InitChannelzService();
  grpc::health::v1::HealthCheckRequest::descriptor();  // gRPC's health service has none that reflection could show
  std::unique_ptr<RpcServer> self(new RpcServer(serving));
  if (!metrics_listen.empty()) {
    absl::StatusOr<std::unique_ptr<MetricsListener>> metrics = MetricsListener::Start(metrics_listen, serving.metrics);
    if (!metrics.ok()) return metrics.status();
    self->metrics_ = *std::move(metrics);
    self->metrics_address_ = WithPort(metrics_listen, self->metrics_->port());
  }
  grpc::ServerBuilder builder;
  Configure(builder, serving.limits);
  int port = 0;
  builder.AddListeningPort(listen, MakeServerCredentials(tls, serving.access, serving.metrics), &port);
  builder.RegisterService(&self->inference_);
  builder.RegisterService(&self->session_);
  builder.RegisterService(&self->tokenizer_);
  builder.RegisterService(&self->model_);
  self->server_ = builder.BuildAndStart();
  if (self->server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("listen: cannot listen on ", listen, "; is the port taken?"));
  }
  self->address_ = WithPort(listen, port);
  self->server_->GetHealthCheckService()->SetServingStatus(true);
  for (const char* service : {"barista.v1.InferenceService", "barista.v1.SessionService", "barista.v1.TokenizerService",
                              "barista.v1.ModelService"}) {
    self->server_->GetHealthCheckService()->SetServingStatus(service, true);
  }
  return self;
}

RpcServer::~RpcServer() { Shutdown(Seconds(0)); }

void RpcServer::SetNotServing() { server_->GetHealthCheckService()->SetServingStatus(false); }

void RpcServer::Shutdown(Seconds grace) {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::duration_cast<std::chrono::system_clock::duration>(grace));
  server_->Wait();
  server_ = nullptr;
}

}  // namespace barista
