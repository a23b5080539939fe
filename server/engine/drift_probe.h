// Now and then chooses a call, keeps its tokens, and has the state that they left behind compared with a replay in
// float64 (model/state_drift.h). What is kept stays in memory until the replay is done. The engine's thread only.
#pragma once

#include <atomic>
#include <memory>

#include "server/engine/active_call.h"
#include "server/engine/worker.h"
#include "server/model/state_drift.h"
#include "server/observe/metrics.h"

namespace barista {

struct DriftOptions {
  StateReplay* replay = nullptr;  // outlives the engine; null: nothing is sampled
  Worker* worker = nullptr;       // that runs replays and nothing else; outlives the engine. Null: at once
  double sample_seconds = 300;    // from one sampled call to the next, at least
};

class DriftProbe {
 public:
  DriftProbe(const DriftOptions& options, const StatePool& pool, Metrics& metrics, const Clock& clock);

  // A call that begins: it is the next sample where one is due and its whole past is at hand.
  void Begin(ActiveCall& active);
  // After a step, and before the call gives its slot back. Of a sampled call: takes the state where it `ends`, or is as
  // long as a replay may be.
  void Look(ActiveCall& active, bool ends);

 private:
  // Tokens that one step may add to a sampled call that has read its prompt: its own and those of a draft.
  static constexpr int64_t kStepTokensMax = 65;

  void Replay(std::vector<int32_t> tokens, std::string state);

  const DriftOptions options_;
  const StatePool& pool_;
  Metrics& metrics_;
  const Clock& clock_;
  InlineWorker inline_worker_;
  TimePoint next_;
  const std::shared_ptr<std::atomic<bool>> replaying_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace barista
