#include "server/engine/drift_probe.h"

#include <string>
#include <utility>
#include <vector>

#include "server/observe/log.h"

namespace barista {

DriftProbe::DriftProbe(const DriftOptions& options, const StatePool& pool, Metrics& metrics, const Clock& clock)
    : options_(options), pool_(pool), metrics_(metrics), clock_(clock), next_(clock.Now()) {}

void DriftProbe::Begin(ActiveCall& active) {
  if (options_.replay == nullptr || clock_.Now() < next_ || *replaying_) return;
  const Request& request = active.request();
  const Sequence& sequence = active.choices[0].sequence;
  const int64_t prompt = static_cast<int64_t>(active.prompt().size());
  const bool whole = sequence.position == active.cached && sequence.pending < 0 && request.start == nullptr;
  const bool plain = request.kind == RequestKind::kGenerate && request.prompt_logprobs < 0;
  const bool fits = prompt > 0 && prompt <= StateReplay::kTokensMax - kStepTokensMax;
  if (!whole || !fits || !plain || active.choices.size() != 1) return;
  active.sampled_tokens = std::make_unique<std::vector<int32_t>>(active.prompt());
  next_ = clock_.Now() + std::chrono::duration_cast<TimePoint::duration>(Seconds(options_.sample_seconds));
}

void DriftProbe::Look(ActiveCall& active, bool ends) {
  const Sequence& sequence = active.choices[0].sequence;
  if (active.sampled_tokens == nullptr || !sequence.lease.holds()) return;
  if (!ends && sequence.position + kStepTokensMax <= StateReplay::kTokensMax) return;
  const std::unique_ptr<std::vector<int32_t>> tokens = std::move(active.sampled_tokens);
  tokens->resize(sequence.position);
  if (!tokens->empty()) Replay(std::move(*tokens), pool_.Download(sequence.lease.slot()));
}

void DriftProbe::Replay(std::vector<int32_t> tokens, std::string state) {
  *replaying_ = true;
  Worker& worker = options_.worker != nullptr ? *options_.worker : inline_worker_;
  // Nothing of this object: the engine may be gone when the replay ends.
  worker.Run([replay = options_.replay, metrics = &metrics_, replaying = replaying_, tokens = std::move(tokens),
              state = std::move(state)] {
    const absl::StatusOr<StateDrift> drift = replay->Run(tokens, state);
    if (drift.ok()) {
      metrics->state_drift_ratio.Set(drift->ratio);
      metrics->state_drift_cpu_seconds_total.Increment(drift->cpu_seconds);
      LogInfo("state replayed", {{"tokens", tokens.size()},
                                 {"ratio", drift->ratio},
                                 {"finite", drift->finite},
                                 {"layer", drift->layer},
                                 {"array", std::string(Name(drift->kind))},
                                 {"cpu_seconds", drift->cpu_seconds}});
    } else if (!absl::IsCancelled(drift.status())) {
      LogError("state not replayed", {{"message", std::string(drift.status().message())}});
    }
    if (!absl::IsCancelled(drift.status())) {
      metrics->state_drift_replays(!drift.ok() ? "failed" : drift->finite ? "finite" : "not_finite").Increment();
    }
    *replaying = false;
  });
}

}  // namespace barista
