// The HTTP port that Prometheus reads.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/observe/metrics.h"

namespace barista {

class MetricsListener {
 public:
  // `address`: HOST:PORT, port 0 picks a free one. Unavailable names an address that could not be bound. Whatever comes
  // to the port, four threads answer, of the lowest priority; who sends no whole request of at most 8 KiB within two
  // seconds is hung up on.
  static absl::StatusOr<std::unique_ptr<MetricsListener>> Start(const std::string& address, Metrics& metrics);
  // Ends the listener at once; a scrape under way gets its answer first.
  ~MetricsListener();

  int port() const { return port_; }  // as bound

 private:
  MetricsListener(std::shared_ptr<prometheus::Collectable> page, std::unique_ptr<prometheus::Exposer> exposer,
                  const std::string& address);

  const std::shared_ptr<prometheus::Collectable> page_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  const int port_;
  const std::string host_;
};

}  // namespace barista
