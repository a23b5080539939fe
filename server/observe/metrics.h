// Every Prometheus series of the server, declared once (metrics.cc) with name, unit and meaning. Labels come from
// closed sets; never a session, a user or text. Observing is thread safe and never blocks on a scrape for longer than
// it takes to copy one histogram.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>

namespace barista {

class Metrics {
 public:
  Metrics();

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

  // `status`: the lower-case gRPC code, "ok" for success. Unknown ones count as "unknown".
  prometheus::Counter& requests(const std::string& status);
  // `reason`: a name of ErrorReason, lower case.
  prometheus::Counter& errors(const std::string& reason);
  prometheus::Counter& admission_refusals(const std::string& reason);
  // `tier`: device, host, directory, redis.
  prometheus::Gauge& sessions(const std::string& tier);
  prometheus::Gauge& state_bytes(const std::string& tier);
  prometheus::Counter& evictions(const std::string& tier);
  // `what`: tls, access.
  prometheus::Counter& reload_failures(const std::string& what);

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  std::map<std::string, prometheus::Counter*> requests_, errors_, admission_refusals_, evictions_, reload_failures_;
  std::map<std::string, prometheus::Gauge*> sessions_, state_bytes_;

 public:
  prometheus::Histogram& time_to_first_token_seconds;
  prometheus::Histogram& inter_token_latency_seconds;
  prometheus::Histogram& e2e_request_latency_seconds;
  prometheus::Histogram& request_queue_time_seconds;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& step_tokens;
  prometheus::Histogram& batch_size;
  prometheus::Counter& prompt_tokens_total;
  prometheus::Counter& generation_tokens_total;
  prometheus::Counter& cached_tokens_total;
  prometheus::Counter& drafted_tokens_total;
  prometheus::Counter& accepted_tokens_total;
  prometheus::Counter& state_nonfinite_total;
  prometheus::Counter& forks_total;
  prometheus::Counter& snapshots_total;
  prometheus::Counter& restores_total;
  prometheus::Counter& rewinds_total;
  prometheus::Counter& sessions_fenced_total;
  prometheus::Gauge& num_requests_running;
  prometheus::Gauge& num_requests_waiting;
  prometheus::Gauge& sessions_max;
  prometheus::Gauge& bytes_per_session;
  prometheus::Gauge& weight_bytes;
  prometheus::Gauge& checkpoint_bytes;
};

}  // namespace barista
