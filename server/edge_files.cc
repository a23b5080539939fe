#include "server/edge_files.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

std::vector<std::string> TlsPaths(const ServerConfig& config) {
  std::vector<std::string> paths = {config.tls_cert_file, config.tls_key_file};
  if (!config.tls_client_ca_file.empty()) paths.push_back(config.tls_client_ca_file);
  return paths;
}

}  // namespace

absl::StatusOr<EdgeFiles> OpenEdgeFiles(const ServerConfig& config) {
  EdgeFiles edge;
  if (!config.tls_cert_file.empty()) {
    absl::StatusOr<std::vector<std::string>> contents = ReadSmallFiles(TlsPaths(config));
    if (!contents.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tls_cert_file, tls_key_file, tls_client_ca_file: ", contents.status().message()));
    }
    absl::StatusOr<std::unique_ptr<TlsFiles>> tls = TlsFiles::Open(*contents);
    if (!tls.ok()) return tls.status();
    edge.tls = *std::move(tls);
    edge.tls_contents = *std::move(contents);
  }
  if (!config.access_file.empty()) {
    absl::StatusOr<std::vector<std::string>> contents = ReadSmallFiles({config.access_file});
    absl::StatusOr<AccessPolicy> policy =
        contents.ok() ? ParseAccessPolicy(contents->front(), config.access_file) : contents.status();
    if (!policy.ok()) return absl::InvalidArgumentError(absl::StrCat("access_file: ", policy.status().message()));
    edge.access = std::make_unique<Access>(*std::move(policy));
    edge.access_contents = *std::move(contents);
  }
  return edge;
}

std::vector<WatchedFiles> WatchedEdgeFiles(const ServerConfig& config, EdgeFiles& edge, Engines& engines) {
  std::vector<WatchedFiles> watched;
  if (edge.tls != nullptr) {
    watched.push_back({"tls", TlsPaths(config), std::move(edge.tls_contents),
                       [&edge](const std::vector<std::string>& contents) { return edge.tls->Replace(contents); }});
  }
  if (edge.access == nullptr) return watched;
  watched.push_back({"access",
                     {config.access_file},
                     std::move(edge.access_contents),
                     [&edge, &engines, path = config.access_file](const std::vector<std::string>& contents) {
                       absl::StatusOr<AccessPolicy> policy = ParseAccessPolicy(contents.front(), path);
                       if (!policy.ok()) return policy.status();
                       engines.SetTenants(policy->tenants);
                       edge.access->Replace(*std::move(policy));
                       return absl::OkStatus();
                     }});
  return watched;
}

}  // namespace barista
