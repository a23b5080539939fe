// How the client comes in: TLS, the certificate it shows, and its API key. Flags name files; Read reads them once,
// before the first call.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "clients/cli/flags.h"

namespace barista::cli {

struct Security {
  bool tls = false;       // also where one of the files is given
  std::string ca_file;    // PEM; empty: the system's roots
  std::string cert_file;  // PEM, shown to the server; with key_file
  std::string key_file;
  std::string server_name;  // that the server's certificate must have; empty: the host of --server
  std::string api_key_file;

  std::string ca, cert, key;
  std::string api_key;  // of the file, else the environment's; empty: none
};

// Declares the flags. `security` outlives `flags`.
void AddSecurityFlags(FlagSet& flags, Security& security);

// Reads the files. InvalidArgument where flags clash or a file does not hold what it should, NotFound where it cannot
// be read.
absl::Status ReadSecurityFiles(Security& security);

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const Security& security);

}  // namespace barista::cli
