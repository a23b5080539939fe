#include "server/rpc/peer.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/access/file_watch.h"
#include "server/access/pem.h"
#include "server/engine/session.h"
#include "server/rpc/tenant.h"

namespace barista {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr std::chrono::seconds kTimeout{10};

absl::Status Wrong(absl::string_view knob, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(knob, ": ", status.message()));
}

}  // namespace

absl::StatusOr<Peer::Secrets> Peer::Read() const {
  Secrets secrets;
  const std::pair<const std::string&, std::string&> files[] = {{options_.ca_file, secrets.ca},
                                                               {options_.cert_file, secrets.cert},
                                                               {options_.key_file, secrets.key},
                                                               {options_.api_key_file, secrets.api_key}};
  for (const auto& [path, bytes] : files) {
    if (path.empty()) continue;
    absl::StatusOr<std::string> read = ReadSmallFile(path);
    if (!read.ok()) return Wrong("drain_peer", read.status());
    bytes = *std::move(read);
  }
  if (!options_.ca_file.empty()) {
    if (absl::Status s = CheckCertificates(secrets.ca); !s.ok()) return Wrong("peer_ca_file", s);
  }
  if (!options_.cert_file.empty()) {
    if (absl::Status s = CheckCertificatePair(secrets.cert, secrets.key); !s.ok()) {
      return Wrong("peer_cert_file, peer_key_file", s);
    }
  }
  absl::StripAsciiWhitespace(&secrets.api_key);
  if (!options_.api_key_file.empty() &&
      (secrets.api_key.empty() || !std::all_of(secrets.api_key.begin(), secrets.api_key.end(), absl::ascii_isgraph))) {
    return absl::InvalidArgumentError("peer_api_key_file: not one line of printable characters");
  }
  return secrets;
}

absl::Status Peer::Connect() {
  absl::StatusOr<Secrets> secrets = Read();
  if (!secrets.ok()) return secrets.status();
  api_key_ = secrets->api_key;
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!secrets->ca.empty()) credentials = grpc::SslCredentials({secrets->ca, secrets->key, secrets->cert});
  stub_ = v1::SessionService::NewStub(grpc::CreateChannel(options_.address, credentials));
  return absl::OkStatus();
}

absl::Status Peer::Import(const std::string& key, absl::string_view bytes) {
  if (stub_ == nullptr) {
    if (absl::Status status = Connect(); !status.ok()) return status;
  }
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  const std::string tenant = TenantOf(key);
  const std::string tenant_key = api_key_.empty() ? options_.tenant_header : kImportTenantKey;
  if (!api_key_.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", api_key_));
  if (!tenant_key.empty() && !tenant.empty()) context.AddMetadata(tenant_key, tenant);
  v1::ImportSessionResponse response;
  const auto writer = stub_->ImportSession(&context, &response);
  v1::ImportSessionRequest message;
  message.set_session_id(SessionIdOf(key));
  for (size_t begin = 0; begin < bytes.size(); begin += kPieceBytes) {
    message.set_data(std::string(bytes.substr(begin, kPieceBytes)));
    if (!writer->Write(message)) break;  // Finish says why
    message.Clear();
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace barista
