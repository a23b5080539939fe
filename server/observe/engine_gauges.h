// The gauges of one engine. What a scrape sees is their sum over the server's engines.
#pragma once

#include <prometheus/gauge.h>

#include "server/observe/metrics.h"

namespace barista {

// One engine's part of a gauge. One thread at a time.
class GaugeShare {
 public:
  explicit GaugeShare(prometheus::Gauge& sum) : sum_(sum) {}
  ~GaugeShare() { Set(0); }
  GaugeShare(const GaugeShare&) = delete;
  GaugeShare& operator=(const GaugeShare&) = delete;

  void Set(double value) {
    sum_.Increment(value - value_);
    value_ = value;
  }

 private:
  prometheus::Gauge& sum_;
  double value_ = 0;
};

struct EngineGauges {
  struct Tier {
    Tier(Metrics& metrics, const char* name) : sessions(metrics.sessions(name)), bytes(metrics.state_bytes(name)) {}
    void Set(int64_t count, int64_t bytes_each) {
      sessions.Set(static_cast<double>(count));
      bytes.Set(static_cast<double>(count * bytes_each));
    }
    GaugeShare sessions, bytes;
  };

  explicit EngineGauges(Metrics& metrics)
      : running(metrics.num_requests_running),
        sessions_max(metrics.sessions_max),
        sessions_total_max(metrics.sessions_total_max),
        weights_bytes(metrics.device_memory_bytes("weights")),
        workspace_bytes(metrics.device_memory_bytes("workspace")),
        states_bytes(metrics.device_memory_bytes("states")),
        device(metrics, "device"),
        host(metrics, "host"),
        directory(metrics, "directory"),
        registry(metrics, "redis") {}

  GaugeShare running, sessions_max, sessions_total_max;
  GaugeShare weights_bytes, workspace_bytes, states_bytes;
  Tier device, host, directory, registry;
};

}  // namespace barista
