// The listening edge: gRPC with health, reflection and channelz, and the metrics port. Owns the services and the
// listeners.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/access/tls_files.h"
#include "server/rpc/inference_service.h"
#include "server/rpc/metrics_listener.h"
#include "server/rpc/model_service.h"
#include "server/rpc/serving.h"
#include "server/rpc/session_service.h"
#include "server/rpc/tokenizer_service.h"

namespace barista {

class RpcServer {
 public:
  // `listen`, `metrics_listen`: HOST:PORT, port 0 picks a free one; an empty metrics_listen serves none. tls: null for
  // plaintext. Serving and tls outlive the server. Errors: Unavailable naming the address that could not be bound.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const Serving& serving, const TlsFiles* tls,
                                                          const std::string& listen, const std::string& metrics_listen);
  ~RpcServer();

  std::string address() const { return address_; }  // HOST:PORT as bound
  std::string metrics_address() const { return metrics_address_; }

  // Health turns NOT_SERVING at once, for every service.
  void SetNotServing();
  // Ends the listener; calls still running after `grace` are cut off. Returns when all are done.
  void Shutdown(Seconds grace);

 private:
  explicit RpcServer(const Serving& serving)
      : inference_(serving), session_(serving), tokenizer_(serving), model_(serving) {}

  InferenceService inference_;
  SessionService session_;
  TokenizerService tokenizer_;
  ModelService model_;
  std::unique_ptr<MetricsListener> metrics_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_, metrics_address_;
};

}  // namespace barista
