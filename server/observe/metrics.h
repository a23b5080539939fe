// Every Prometheus series of the server, declared once (metrics.cc) with name, unit and meaning. Labels come from
// closed sets; never a session, a user or text. Observing is thread safe and never blocks on a scrape for longer than
// it takes to copy one histogram.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>

#include "server/observe/by_label.h"

namespace barista {

class Metrics {
 public:
  Metrics();

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

 private:
  std::shared_ptr<prometheus::Registry> registry_;

 public:
  // Calls.
  ByLabel<prometheus::Counter> requests;            // gRPC code, lower case, "ok" for success
  ByLabel<prometheus::Counter> errors;              // name of ErrorReason, lower case
  ByLabel<prometheus::Counter> admission_refusals;  // the same
  prometheus::Histogram& time_to_first_token_seconds;
  prometheus::Histogram& inter_token_latency_seconds;
  prometheus::Histogram& e2e_request_latency_seconds;
  prometheus::Histogram& request_queue_time_seconds;
  prometheus::Histogram& request_prefill_time_seconds;
  prometheus::Histogram& request_decode_time_seconds;
  prometheus::Histogram& request_prompt_tokens;
  prometheus::Histogram& request_generation_tokens;
  prometheus::Gauge& num_requests_running;
  prometheus::Gauge& num_requests_waiting;

  // Tokens and steps.
  prometheus::Counter& prompt_tokens_total;
  prometheus::Counter& generation_tokens_total;
  prometheus::Counter& cached_tokens_total;
  prometheus::Counter& drafted_tokens_total;
  prometheus::Counter& accepted_tokens_total;
  prometheus::Histogram& step_seconds;
  prometheus::Histogram& step_tokens;
  prometheus::Histogram& batch_size;

  // Sessions and their states.
  ByLabel<prometheus::Gauge> sessions;     // tier: device, host, directory, redis
  ByLabel<prometheus::Gauge> state_bytes;  // the same
  prometheus::Gauge& sessions_max;
  prometheus::Gauge& sessions_total_max;
  prometheus::Gauge& bytes_per_session;
  prometheus::Gauge& checkpoint_bytes;
  prometheus::Counter& forks_total;
  prometheus::Counter& rewinds_total;
  prometheus::Counter& snapshots_total;
  prometheus::Counter& restores_total;
  ByLabel<prometheus::Counter> evictions;       // tier they went to: host, directory, redis
  ByLabel<prometheus::Counter> returns;         // tier they came from: the same
  ByLabel<prometheus::Counter> store_failures;  // store: directory, redis, peer
  prometheus::Counter& sessions_fenced_total;
  prometheus::Counter& session_moves_total;

  // The model.
  prometheus::Counter& state_nonfinite_total;
  prometheus::Gauge& state_drift_ratio;
  ByLabel<prometheus::Counter> state_drift_replays;  // outcome: finite, not_finite, failed
  prometheus::Counter& state_drift_cpu_seconds_total;
  prometheus::Counter& latent_rows_total;
  prometheus::Family<prometheus::Gauge>& latent_entropy;     // layer: its number; added by who knows the model
  prometheus::Family<prometheus::Gauge>& effective_latents;  // the same
  prometheus::Family<prometheus::Gauge>& local_mass;         // the same

  // The process.
  prometheus::Family<prometheus::Gauge>& build_info;  // version, backend, model, weights; one series, made at start
  ByLabel<prometheus::Gauge> device_memory_bytes;     // use: weights, workspace, states
  ByLabel<prometheus::Counter> reload_failures;       // what: tls, access
  prometheus::Gauge& draining;
  prometheus::Counter& log_lines_dropped_total;
};

}  // namespace barista
