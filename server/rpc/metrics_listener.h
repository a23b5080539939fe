// The HTTP port that Prometheus reads.
#pragma once

#include <prometheus/exposer.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/observe/metrics.h"

namespace barista {

class MetricsListener {
 public:
  // `address`: HOST:PORT, port 0 picks a free one. Unavailable names an address that could not be bound.
  static absl::StatusOr<std::unique_ptr<MetricsListener>> Start(const std::string& address, const Metrics& metrics);
  // Ends the listener at once; a scrape under way gets its answer first.
  ~MetricsListener();

  int port() const { return port_; }  // as bound

 private:
  MetricsListener(std::unique_ptr<prometheus::Exposer> exposer, const std::string& address);

  std::unique_ptr<prometheus::Exposer> exposer_;
  const int port_;
  const std::string host_;
};

}  // namespace barista
