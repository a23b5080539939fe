#include "server/observe/metrics.h"

#include <vector>

namespace barista {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

// Seconds. From half a millisecond, since a small model's step is that short, to the longest call.
const std::vector<double> kLatencyBuckets = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25,
                                             0.5,    0.75,  1,     2.5,   5,    7.5,  10,   20,   30,   60,  120,  300};
const std::vector<double> kTokenBuckets = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};

Histogram& AddHistogram(Registry& registry, const char* name, const char* help, const std::vector<double>& buckets) {
  return BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}
Counter& AddCounter(Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry).Add({});
}
Gauge& AddGauge(Registry& registry, const char* name, const char* help,
                const std::map<std::string, std::string>& labels = {}) {
  return BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
}

std::map<std::string, Counter*> AddCounters(Registry& registry, const char* name, const char* help, const char* label,
                                            const std::vector<const char*>& values) {
  auto& family = BuildCounter().Name(name).Help(help).Register(registry);
  std::map<std::string, Counter*> counters;
  for (const char* value : values) counters[value] = &family.Add({{label, value}});
  return counters;
}

std::map<std::string, Gauge*> AddTiers(Registry& registry, const char* name, const char* help) {
  auto& family = BuildGauge().Name(name).Help(help).Register(registry);
  std::map<std::string, Gauge*> gauges;
  for (const char* tier : {"device", "host", "directory", "redis"}) gauges[tier] = &family.Add({{"tier", tier}});
  return gauges;
}

Counter& Find(const std::map<std::string, Counter*>& counters, const std::string& value, const char* fallback) {
  const auto it = counters.find(value);
  return *(it != counters.end() ? it : counters.find(fallback))->second;
}

}  // namespace

Metrics::Metrics()
    : registry_(std::make_shared<Registry>()),
      requests_(AddCounters(*registry_, "barista_requests_total", "Calls that ended, by gRPC status.", "status",
                            {"ok", "cancelled", "unknown", "invalid_argument", "deadline_exceeded", "out_of_range",
                             "resource_exhausted", "failed_precondition", "internal", "unavailable", "not_found",
                             "already_exists", "aborted", "permission_denied", "data_loss", "unauthenticated"})),
      errors_(AddCounters(*registry_, "barista_errors_total", "Calls that failed, by ErrorInfo reason.", "reason",
                          {"invalid_field",     "prompt_too_long",
                           "malformed_request", "no_tokenizer",
                           "wrong_task",        "position_out_of_range",
                           "queue_full",        "sessions_max",
                           "slow_consumer",     "deadline",
                           "cancelled",         "non_finite",
                           "draining",          "engine_failed",
                           "internal",          "session_busy",
                           "session_not_found", "session_exists",
                           "snapshot_corrupt",  "model_mismatch",
                           "no_store",          "store_failed",
                           "store_full",        "snapshot_not_found",
                           "snapshot_exists",   "snapshot_damaged",
                           "mark_not_found",    "rewind_out_of_range",
                           "no_seal_key",       "sealed_state_refused",
                           "request_running",   "session_elsewhere",
                           "unauthenticated",   "admin_key_required",
                           "tenant_limit"})),
      admission_refusals_(AddCounters(*registry_, "barista_admission_refusals_total",
                                      "Calls refused before they waited, by reason.", "reason",
                                      {"queue_full", "sessions_max", "tenant_limit", "draining"})),
      evictions_(AddCounters(*registry_, "barista_evictions_total",
                             "Idle sessions that went down, by the tier they went to.", "tier",
                             {"host", "directory", "redis"})),
      reload_failures_(AddCounters(*registry_, "barista_reload_failures_total",
                                   "Files that changed and were refused, so that what was read before holds.", "what",
                                   {"tls", "access"})),
      sessions_(
          AddTiers(*registry_, "barista_sessions",
                   "Sessions by where their state lies; device: slots in use, calls without a session included.")),
      state_bytes_(AddTiers(*registry_, "barista_state_bytes", "Bytes of the states of sessions, by tier.")),
      time_to_first_token_seconds(AddHistogram(*registry_, "barista_time_to_first_token_seconds",
                                               "Seconds from a Generate call's arrival until its first token is drawn.",
                                               kLatencyBuckets)),
      inter_token_latency_seconds(AddHistogram(*registry_, "barista_inter_token_latency_seconds",
                                               "Seconds between two tokens of one choice, every gap.",
                                               kLatencyBuckets)),
      e2e_request_latency_seconds(AddHistogram(*registry_, "barista_e2e_request_latency_seconds",
                                               "Seconds from a call's arrival until its end.", kLatencyBuckets)),
      request_queue_time_seconds(AddHistogram(*registry_, "barista_request_queue_time_seconds",
                                              "Seconds from a call's arrival until it has a slot.", kLatencyBuckets)),
      step_seconds(AddHistogram(*registry_, "barista_step_seconds",
                                "Seconds of one step: all running decodes and the prompt tokens beside them.",
                                kLatencyBuckets)),
      step_tokens(AddHistogram(*registry_, "barista_step_tokens",
                               "Tokens of one step: decodes, drafts and prompt tokens.", kTokenBuckets)),
      batch_size(AddHistogram(*registry_, "barista_batch_size", "Sequences of one step.", kTokenBuckets)),
      prompt_tokens_total(AddCounter(*registry_, "barista_prompt_tokens_total", "Prompt tokens read into a state.")),
      generation_tokens_total(AddCounter(*registry_, "barista_generation_tokens_total", "Tokens drawn.")),
      cached_tokens_total(AddCounter(*registry_, "barista_cached_tokens_total",
                                     "Prompt tokens that came from a kept state and were not computed again.")),
      drafted_tokens_total(
          AddCounter(*registry_, "barista_drafted_tokens_total", "Tokens drafted by speculation and verified.")),
      accepted_tokens_total(AddCounter(*registry_, "barista_accepted_tokens_total", "Drafted tokens that were drawn.")),
      state_nonfinite_total(AddCounter(*registry_, "barista_state_nonfinite_total",
                                       "Sequences that failed because the model made a value that is not finite.")),
      forks_total(AddCounter(*registry_, "barista_forks_total", "Copies of sessions that were made.")),
      snapshots_total(AddCounter(*registry_, "barista_snapshots_total", "Snapshots that were kept.")),
      restores_total(AddCounter(*registry_, "barista_restores_total", "Sessions that were made of a snapshot.")),
      rewinds_total(AddCounter(*registry_, "barista_rewinds_total", "Sessions that were put back.")),
      sessions_fenced_total(AddCounter(*registry_, "barista_sessions_fenced_total",
                                       "Sessions that another server had taken when this one came back to them.")),
      num_requests_running(AddGauge(*registry_, "barista_num_requests_running", "Calls that hold a slot.")),
      num_requests_waiting(AddGauge(*registry_, "barista_num_requests_waiting", "Calls that wait for a slot.")),
      sessions_max(AddGauge(*registry_, "barista_sessions_max", "Slots: sessions whose state fits on the device.")),
      bytes_per_session(AddGauge(*registry_, "barista_bytes_per_session", "Bytes of one session's state.")),
      weight_bytes(AddGauge(*registry_, "barista_weight_bytes", "Bytes of the model's weights in device memory.")),
      checkpoint_bytes(AddGauge(*registry_, "barista_checkpoint_bytes",
                                "Bytes of the states that rewinds and prompts that begin alike go back to.")) {}

Counter& Metrics::requests(const std::string& status) { return Find(requests_, status, "unknown"); }
Counter& Metrics::errors(const std::string& reason) { return Find(errors_, reason, "internal"); }
Counter& Metrics::evictions(const std::string& tier) { return Find(evictions_, tier, "host"); }
Counter& Metrics::reload_failures(const std::string& what) { return Find(reload_failures_, what, "access"); }
Gauge& Metrics::sessions(const std::string& tier) { return *sessions_.at(tier); }
Gauge& Metrics::state_bytes(const std::string& tier) { return *state_bytes_.at(tier); }
Counter& Metrics::admission_refusals(const std::string& reason) {
  return Find(admission_refusals_, reason, "queue_full");
}

}  // namespace barista
