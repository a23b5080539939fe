#include "server/rpc/peer.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "server/engine/session.h"

namespace barista {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr std::chrono::seconds kTimeout{10};

}  // namespace

Peer::Peer(const std::string& address, std::string tenant_header)
    : stub_(v1::SessionService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
      tenant_header_(std::move(tenant_header)) {}

absl::Status Peer::Import(const std::string& key, absl::string_view bytes) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  const std::string tenant = TenantOf(key);
  if (!tenant_header_.empty() && !tenant.empty()) context.AddMetadata(tenant_header_, tenant);
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
