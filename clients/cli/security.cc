#include "clients/cli/security.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace barista::cli {
namespace {

// Debian's, and those of the Red Hat family.
constexpr const char* kSystemRoots[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"};

absl::Status ReadFile(const std::string& path, absl::string_view flag, std::string& bytes) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return absl::NotFoundError(absl::StrCat("--", flag, ": cannot read ", path));
  bytes = text.str();
  return absl::OkStatus();
}

absl::Status ReadPem(const std::string& path, absl::string_view flag, std::string& bytes) {
  if (path.empty()) return absl::OkStatus();
  if (absl::Status status = ReadFile(path, flag, bytes); !status.ok()) return status;
  if (absl::StrContains(bytes, "-----BEGIN ")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", path, " is not a PEM file"));
}

}  // namespace

void AddSecurityFlags(FlagSet& flags, Security& security) {
  const auto file = [&flags](const char* name, const char* help, std::string& path) {
    flags.Value(name, "FILE", help, [&path](absl::string_view value) {
      path = std::string(value);
      return absl::OkStatus();
    });
  };
  flags.Switch("tls", "Call the server with TLS; its certificate must be signed by a CA that the system trusts.",
               [&security](bool on) { security.tls = on; });
  file("tls_ca", "Call with TLS; its certificate must be signed by a CA of this PEM file.", security.ca_file);
  file("tls_cert", "Show this certificate (PEM), with --tls_key.", security.cert_file);
  file("tls_key", "The private key (PEM) of --tls_cert.", security.key_file);
  flags.Value("tls_server_name", "NAME", "The name in the server's certificate. Default: the host of --server.",
              [&security](absl::string_view value) {
                security.server_name = std::string(value);
                return absl::OkStatus();
              });
  file("api_key_file", "File with the API key. Default: the key in $BARISTA_API_KEY, else none.",
       security.api_key_file);
}

absl::Status ReadSecurityFiles(Security& security) {
  if (security.cert_file.empty() != security.key_file.empty()) {
    return absl::InvalidArgumentError("--tls_cert and --tls_key: give both or neither");
  }
  security.tls = security.tls || !security.ca_file.empty() || !security.cert_file.empty();
  if (!security.tls && !security.server_name.empty()) {
    return absl::InvalidArgumentError("--tls_server_name: give --tls or --tls_ca too");
  }
  std::string roots = security.ca_file;
  for (const char* path : kSystemRoots) {
    if (security.tls && roots.empty() && std::ifstream(path)) roots = path;
  }
  if (security.tls && roots.empty()) return absl::NotFoundError("--tls: the system has no CAs; give --tls_ca=FILE");
  if (absl::Status status = ReadPem(roots, "tls_ca", security.ca); !status.ok()) return status;
  if (absl::Status status = ReadPem(security.cert_file, "tls_cert", security.cert); !status.ok()) return status;
  if (absl::Status status = ReadPem(security.key_file, "tls_key", security.key); !status.ok()) return status;
  if (!security.api_key_file.empty()) {
    const absl::Status status = ReadFile(security.api_key_file, "api_key_file", security.api_key);
    if (!status.ok()) return status;
  }
  absl::StripAsciiWhitespace(&security.api_key);
  const absl::string_view from = security.api_key_file.empty() ? "BARISTA_API_KEY" : "--api_key_file";
  if (!security.api_key_file.empty() && security.api_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(from, ": ", security.api_key_file, " is empty"));
  }
  if (!std::all_of(security.api_key.begin(), security.api_key.end(), absl::ascii_isgraph)) {
    return absl::InvalidArgumentError(absl::StrCat(from, ": a key is one word of printable ASCII characters"));
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const Security& security) {
  if (!security.tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({security.ca, security.key, security.cert});
}

}  // namespace barista::cli
