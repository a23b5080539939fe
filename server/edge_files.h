// The files that decide who may come in: certificates and keys of TLS, the access file. Read at start, and again when
// they change.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/access/access.h"
#include "server/access/file_watch.h"
#include "server/access/tls_files.h"
#include "server/config.h"
#include "server/engine/engines.h"

namespace barista {

struct EdgeFiles {
  std::unique_ptr<TlsFiles> tls;   // null: plaintext
  std::unique_ptr<Access> access;  // null: no key is asked for
  std::vector<std::string> tls_contents, access_contents;
};

// Errors: InvalidArgument naming the knob, the file and what is wrong.
absl::StatusOr<EdgeFiles> OpenEdgeFiles(const ServerConfig& config);

// What is to be watched; `edge` and `engines` outlive the watch. Limits of tenants go to the engines.
std::vector<WatchedFiles> WatchedEdgeFiles(const ServerConfig& config, EdgeFiles& edge, Engines& engines);

}  // namespace barista
