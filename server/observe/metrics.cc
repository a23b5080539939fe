#include "server/observe/metrics.h"

#include <vector>

namespace barista {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

// Bounds of OpenTelemetry's conventions for generative models, so that panels of other servers fit; below 10 ms finer,
// since a step of a small model takes half a millisecond, and to the longest call.
const std::vector<double> kFirstTokenSeconds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25,
                                                0.5,   0.75,  1,    2.5,  5,    7.5,  10,   30,  60};
const std::vector<double> kStepSeconds = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                          0.15,   0.2,   0.3,   0.4,   0.5,  0.75,  1,    2.5};
const std::vector<double> kCallSeconds = {0.01, 0.02, 0.04,  0.08,  0.16,  0.32,  0.64,  1.28,
                                          2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84};
const std::vector<double> kTokens = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
const std::vector<double> kManyTokens = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536};

// Declares families in one registry.
struct Declare {
  Registry& registry;

  Family<Counter>& Counters(const char* name, const char* help) const {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Gauge>& Gauges(const char* name, const char* help) const {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  }
  Counter& OneCounter(const char* name, const char* help) const { return Counters(name, help).Add({}); }
  Gauge& OneGauge(const char* name, const char* help) const { return Gauges(name, help).Add({}); }
  Histogram& OneHistogram(const char* name, const char* help, const std::vector<double>& bounds) const {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
  }
};

const std::vector<const char*> kTiers = {"device", "host", "directory", "redis"};
const std::vector<const char*> kTiersBelow = {"host", "directory", "redis"};

}  // namespace

#define DECLARE \
  Declare { *registry_ }

Metrics::Metrics()
    : registry_(std::make_shared<Registry>()),
      requests(DECLARE.Counters("barista_requests_total", "Calls that ended, by gRPC status."), "status",
               {"ok", "cancelled", "invalid_argument", "deadline_exceeded", "out_of_range", "resource_exhausted",
                "failed_precondition", "internal", "unavailable", "not_found", "already_exists", "aborted",
                "permission_denied", "data_loss", "unauthenticated", "unknown"}),
      errors(DECLARE.Counters("barista_errors_total", "Calls that failed, by ErrorInfo reason."), "reason",
             {"invalid_field",
              "prompt_too_long",
              "malformed_request",
              "no_tokenizer",
              "wrong_task",
              "position_out_of_range",
              "queue_full",
              "sessions_max",
              "slow_consumer",
              "deadline",
              "cancelled",
              "non_finite",
              "draining",
              "engine_failed",
              "session_busy",
              "session_not_found",
              "session_exists",
              "snapshot_corrupt",
              "model_mismatch",
              "no_store",
              "store_failed",
              "store_full",
              "snapshot_not_found",
              "snapshot_exists",
              "snapshot_damaged",
              "mark_not_found",
              "rewind_out_of_range",
              "no_seal_key",
              "sealed_state_refused",
              "request_running",
              "session_elsewhere",
              "unauthenticated",
              "admin_key_required",
              "tenant_limit",
              "internal"}),
      admission_refusals(
          DECLARE.Counters("barista_admission_refusals_total", "Calls refused before they waited, by reason."),
          "reason", {"sessions_max", "tenant_limit", "draining", "queue_full"}),
      time_to_first_token_seconds(DECLARE.OneHistogram(
          "barista_time_to_first_token_seconds",
          "Seconds from a Generate call's arrival until its first token is delivered.", kFirstTokenSeconds)),
      inter_token_latency_seconds(DECLARE.OneHistogram(
          "barista_inter_token_latency_seconds", "Seconds between two tokens of one choice, every gap.", kStepSeconds)),
      e2e_request_latency_seconds(DECLARE.OneHistogram("barista_e2e_request_latency_seconds",
                                                       "Seconds from a call's arrival at the engine until its end.",
                                                       kCallSeconds)),
      request_queue_time_seconds(DECLARE.OneHistogram("barista_request_queue_time_seconds",
                                                      "Seconds from a call's arrival until it has a slot.",
                                                      kFirstTokenSeconds)),
      request_prefill_time_seconds(DECLARE.OneHistogram(
          "barista_request_prefill_time_seconds",
          "Seconds from a call's slot until its prompt is read, of calls that came so far.", kFirstTokenSeconds)),
      request_decode_time_seconds(DECLARE.OneHistogram(
          "barista_request_decode_time_seconds",
          "Seconds from a call's prompt being read until its end, of calls that came so far.", kCallSeconds)),
      request_prompt_tokens(DECLARE.OneHistogram(
          "barista_request_prompt_tokens", "Prompt tokens of a call at its end, cached ones included.", kManyTokens)),
      request_generation_tokens(DECLARE.OneHistogram(
          "barista_request_generation_tokens", "Tokens drawn by a call at its end, over its choices.", kManyTokens)),
      num_requests_running(DECLARE.OneGauge("barista_num_requests_running", "Calls that hold a slot.")),
      num_requests_waiting(DECLARE.OneGauge("barista_num_requests_waiting", "Calls that wait for a slot.")),

      prompt_tokens_total(DECLARE.OneCounter("barista_prompt_tokens_total", "Prompt tokens read into a state.")),
      generation_tokens_total(DECLARE.OneCounter("barista_generation_tokens_total", "Tokens drawn.")),
      cached_tokens_total(DECLARE.OneCounter("barista_cached_tokens_total",
                                             "Prompt tokens that came from a kept state and were not computed again.")),
      drafted_tokens_total(
          DECLARE.OneCounter("barista_drafted_tokens_total", "Tokens drafted by speculation and verified.")),
      accepted_tokens_total(DECLARE.OneCounter("barista_accepted_tokens_total", "Drafted tokens that were drawn.")),
      step_seconds(DECLARE.OneHistogram("barista_step_seconds",
                                        "Seconds of one step: all running decodes and the prompt tokens beside them.",
                                        kStepSeconds)),
      step_tokens(DECLARE.OneHistogram("barista_step_tokens", "Tokens of one step: decodes, drafts and prompt tokens.",
                                       kTokens)),
      batch_size(DECLARE.OneHistogram("barista_batch_size", "Sequences of one step.", kTokens)),

      sessions(
          DECLARE.Gauges("barista_sessions",
                         "Sessions by where their state lies; device: slots in use, calls without a session included."),
          "tier", kTiers),
      state_bytes(DECLARE.Gauges("barista_state_bytes", "Bytes of the states of sessions, by tier."), "tier", kTiers),
      sessions_max(DECLARE.OneGauge("barista_sessions_max",
                                    "Slots: sessions whose state fits on the device, of all devices together.")),
      sessions_total_max(
          DECLARE.OneGauge("barista_sessions_total_max", "Sessions whose state fits somewhere, over all tiers.")),
      bytes_per_session(DECLARE.OneGauge("barista_bytes_per_session", "Bytes of one session's state.")),
      checkpoint_bytes(DECLARE.OneGauge("barista_checkpoint_bytes",
                                        "Bytes of the states that rewinds and prompts that begin alike go back to.")),
      forks_total(DECLARE.OneCounter("barista_forks_total", "Copies of sessions that were made.")),
      rewinds_total(DECLARE.OneCounter("barista_rewinds_total", "Sessions that were put back.")),
      snapshots_total(DECLARE.OneCounter("barista_snapshots_total", "Snapshots that were kept.")),
      restores_total(DECLARE.OneCounter("barista_restores_total", "Sessions that were made of a snapshot.")),
      evictions(DECLARE.Counters("barista_evictions_total", "Idle sessions that went down, by the tier they went to."),
                "tier", kTiersBelow),
      returns(DECLARE.Counters("barista_returns_total",
                               "Sessions that came up again to be used, by the tier they came from."),
              "tier", kTiersBelow),
      store_failures(DECLARE.Counters("barista_store_failures_total",
                                      "Sessions that a store did not take, and that stay where they are, by store."),
                     "store", {"directory", "redis", "peer"}),
      sessions_fenced_total(DECLARE.OneCounter(
          "barista_sessions_fenced_total", "Sessions that another server had taken when this one came back to them.")),
      session_moves_total(DECLARE.OneCounter("barista_session_moves_total",
                                             "Sessions that went to another device, since theirs had no place free.")),

      state_nonfinite_total(DECLARE.OneCounter(
          "barista_state_nonfinite_total", "Sequences that failed because the model made a value that is not finite.")),
      state_drift_ratio(DECLARE.OneGauge(
          "barista_state_drift_ratio",
          "Relative error of the state of the last call that was replayed in float64: the largest over the state's "
          "arrays of the distance's norm over the exact array's. +Inf: a value is not finite.")),
      state_drift_replays(
          DECLARE.Counters("barista_state_drift_replays_total", "Calls replayed in float64, by what their state was."),
          "outcome", {"finite", "not_finite", "failed"}),
      state_drift_cpu_seconds_total(
          DECLARE.OneCounter("barista_state_drift_cpu_seconds_total", "Processor seconds spent on such replays.")),
      latent_rows_total(DECLARE.OneCounter(
          "barista_latent_rows_total",
          "Tokens whose use of the latents was measured, for entropy, effective latents and local mass.")),
      latent_entropy(DECLARE.Gauges(
          "barista_latent_entropy",
          "Entropy in nats of p(l|t), a token's distribution over a head's latent states, the local one included: mean "
          "over heads and measured tokens, the last 256 weighing most. 0: each token uses one state.")),
      effective_latents(DECLARE.Gauges(
          "barista_effective_latents",
          "States that a token uses in effect: the exponential of each entropy of p(l|t), averaged in the same way.")),
      local_mass(DECLARE.Gauges(
          "barista_local_mass",
          "p(0|t), the weight of the sliding window in the mix, averaged in the same way. Macchiato layers alone.")),

      build_info(DECLARE.Gauges("barista_build_info",
                                "1; the labels say what runs: version, backend, model, type of the weights.")),
      device_memory_bytes(
          DECLARE.Gauges("barista_device_memory_bytes",
                         "Bytes taken at start in the memory of the device that computes, by use; the cpu backend's "
                         "is the host's, where states become resident when their slots are used."),
          "use", {"weights", "workspace", "states"}),
      reload_failures(DECLARE.Counters("barista_reload_failures_total",
                                       "Files that changed and were refused, so that what was read before holds."),
                      "what", {"tls", "access"}),
      draining(DECLARE.OneGauge("barista_draining", "1 once the server takes no new calls, else 0.")),
      log_lines_dropped_total(
          DECLARE.OneCounter("barista_log_lines_dropped_total",
                             "Log lines that were dropped because nobody took them from the queue in time.")) {}

#undef DECLARE

}  // namespace barista
