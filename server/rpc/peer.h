// Another barista-server, which takes this one's sessions when it ends: ImportSession there. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "barista/v1/session.grpc.pb.h"

namespace barista {

struct PeerOptions {
  std::string address;              // HOST:PORT
  std::string tenant_header;        // metadata key under which a peer without API keys expects the tenant; empty: none
  std::string ca_file;              // PEM: TLS, and who signed the peer's certificate; empty: plaintext
  std::string cert_file, key_file;  // PEM: what the peer is shown; empty: nothing
  std::string api_key_file;         // an admin key of the peer; empty: none
};

class Peer {
 public:
  explicit Peer(PeerOptions options) : options_(std::move(options)) {}

  // Whether the files can be read and hold what they should. InvalidArgument names the knob.
  absl::Status CheckFiles() const { return Read().status(); }

  // Blocks for at most ten seconds. OK: the session is the peer's. The files are read at the first call. Errors: those
  // of ImportSession; Unavailable where the peer is not there; those of CheckFiles.
  absl::Status Import(const std::string& key, absl::string_view bytes);

 private:
  struct Secrets {
    std::string ca, cert, key, api_key;
  };
  absl::StatusOr<Secrets> Read() const;
  absl::Status Connect();

  const PeerOptions options_;
  std::string api_key_;
  std::unique_ptr<v1::SessionService::Stub> stub_;
};

}  // namespace barista
