#include "server/access/tls_files.h"

#include "absl/strings/str_cat.h"
#include "server/access/pem.h"

namespace barista {
namespace {

enum { kChain, kKey, kClientCa };

absl::Status Check(const std::vector<std::string>& contents) {
  if (absl::Status s = CheckCertificatePair(contents[kChain], contents[kKey]); !s.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("tls_cert_file, tls_key_file: ", s.message()));
  }
  if (contents.size() <= kClientCa) return absl::OkStatus();
  if (absl::Status s = CheckCertificates(contents[kClientCa]); !s.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("tls_client_ca_file: ", s.message()));
  }
  return absl::OkStatus();
}

std::string Identity(const std::vector<std::string>& contents) {
  return absl::StrCat(contents[kChain], "\n", contents[kKey]);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Open(const std::vector<std::string>& contents) {
  if (absl::Status s = Check(contents); !s.ok()) return s;
  auto files = std::make_unique<TlsFiles>();
  absl::StatusOr<std::unique_ptr<MemoryFile>> identity = MemoryFile::Create(Identity(contents));
  if (!identity.ok()) return identity.status();
  files->identity_ = *std::move(identity);
  if (contents.size() <= kClientCa) return files;
  absl::StatusOr<std::unique_ptr<MemoryFile>> client_ca = MemoryFile::Create(contents[kClientCa]);
  if (!client_ca.ok()) return client_ca.status();
  files->client_ca_ = *std::move(client_ca);
  return files;
}

absl::Status TlsFiles::Replace(const std::vector<std::string>& contents) {
  if (absl::Status s = Check(contents); !s.ok()) return s;
  if (absl::Status s = identity_->Replace(Identity(contents)); !s.ok()) return s;
  return client_ca_ == nullptr ? absl::OkStatus() : client_ca_->Replace(contents[kClientCa]);
}

}  // namespace barista
