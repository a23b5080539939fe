// The server's certificate, its key and the CAs of its clients: read, checked, and handed to gRPC as files in memory,
// which hold nothing that was not checked. Any thread after Open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/access/memory_file.h"

namespace barista {

class TlsFiles {
 public:
  // In the order of paths(): chain, key, and clients' CAs where they are wanted. Errors: InvalidArgument naming the
  // knob and what is wrong.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const std::vector<std::string>& contents);

  // New contents, in the same order; where they are no good, what was there stays. Errors: as Open.
  absl::Status Replace(const std::vector<std::string>& contents);

  // Chain and key in one file, so that no reader sees the one without the other.
  std::string identity_path() const { return identity_->path(); }
  std::string client_ca_path() const { return client_ca_ == nullptr ? "" : client_ca_->path(); }

 private:
  std::unique_ptr<MemoryFile> identity_, client_ca_;
};

}  // namespace barista
