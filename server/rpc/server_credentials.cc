#include "server/rpc/server_credentials.h"

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <string>
#include <utility>

#include "server/rpc/call_end.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

constexpr unsigned int kRefreshSeconds = 1;  // of files in memory

// gRPC asks it for each call, with the call's metadata. The identity goes no further: what it may keep belongs to the
// connection, on which other callers' calls may follow, so handlers look the key up again (tenant.h).
class AccessProcessor final : public grpc::AuthMetadataProcessor {
 public:
  AccessProcessor(const Access& access, Metrics& metrics) : access_(access), metrics_(metrics) {}

  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*, OutputMetadata*) override {
    const auto path = metadata.find(":path");
    const absl::string_view method =
        path == metadata.end() ? absl::string_view() : absl::string_view(path->second.data(), path->second.size());
    const absl::Status status = access_.Check(method, AuthorizationOf(metadata));
    if (status.ok()) return grpc::Status::OK;
    if (!absl::IsUnimplemented(status)) RecordEnd(status, metrics_);  // that is no call of ours
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
  }

 private:
  const Access& access_;
  Metrics& metrics_;
};

std::shared_ptr<grpc::ServerCredentials> Tls(const TlsFiles& files) {
  const std::string identity = files.identity_path(), client_ca = files.client_ca_path();
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(identity, identity, client_ca,
                                                                           kRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  if (client_ca.empty()) {
    options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  } else {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles* tls, const Access* access,
                                                               Metrics& metrics) {
  std::shared_ptr<grpc::ServerCredentials> credentials =
      tls != nullptr      ? Tls(*tls)
      : access != nullptr ? grpc::experimental::LocalServerCredentials(LOCAL_TCP)  // insecure ones ask no processor
                          : grpc::InsecureServerCredentials();
  if (access != nullptr) credentials->SetAuthMetadataProcessor(std::make_shared<AccessProcessor>(*access, metrics));
  return credentials;
}

}  // namespace barista
