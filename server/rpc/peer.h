// Another barista-server, which takes this one's sessions when it ends: ImportSession there. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "barista/v1/session.grpc.pb.h"

namespace barista {

class Peer {
 public:
  // address: HOST:PORT. tenant_header: metadata key under which the peer expects the tenant; empty: none.
  Peer(const std::string& address, std::string tenant_header);

  // Blocks for at most ten seconds. OK: the session is the peer's. Errors: those of ImportSession; Unavailable where
  // the peer is not there.
  absl::Status Import(const std::string& key, absl::string_view bytes);

 private:
  const std::unique_ptr<v1::SessionService::Stub> stub_;
  const std::string tenant_header_;
};

}  // namespace barista
