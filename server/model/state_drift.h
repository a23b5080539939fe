// How far a served state is from the exact one of the same tokens, and how the exact one is made: by a replay in
// float64, with the same weights.
#pragma once

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/model/checkpoint.h"
#include "server/model/model.h"
#include "server/model/state.h"

namespace barista {

struct StateDrift {
  double ratio = 0;                         // see MeasureDrift; infinite where !finite
  bool finite = true;                       // every value of the served state, but for a maximum that is still -inf
  int64_t layer = -1;                       // of the array that is farthest off
  StateKind kind = StateKind::kLastHidden;  // the same
  double cpu_seconds = 0;                   // that the replay took
};

// The largest over the arrays of the state of |served - exact| / |exact|, Euclidean norms. alpha and vtilde are
// compared in units of e^max of the exact state, so max itself needs no comparison. Both layouts are of one model and
// may differ in their types.
StateDrift MeasureDrift(const StateLayout& served_layout, const std::string& served, const StateLayout& exact_layout,
                        const std::string& exact);

// Replays on the thread that calls, a layer after another, so that the weights of one layer at a time are held in
// float64; what a replay allocates (bytes() at most) is gone when it ends. It reads the checkpoint's files again.
class StateReplay {
 public:
  // `served`: options and layout of the model that serves. cpu_share: of one core that a replay takes at most, by
  // resting in between; 1: no rest. The checkpoint outlives the replay.
  StateReplay(const Checkpoint& checkpoint, const ModelOptions& served, const StateLayout& layout, double cpu_share);

  static constexpr int64_t kTokensMax = 512;
  static int64_t Bytes(const Checkpoint& checkpoint, const ModelOptions& served);

  // The drift of `state`, which `tokens` (1 to kTokensMax, from position 0) left behind. One at a time. Errors:
  // CANCELLED after Stop; RESOURCE_EXHAUSTED.
  absl::StatusOr<StateDrift> Run(absl::Span<const int32_t> tokens, const std::string& state);
  // Any thread: a Run under way, and every later one, ends soon.
  void Stop();

 private:
  static ModelOptions OptionsFor(const ModelOptions& served);
  bool GoOn();  // rests where it is due; false: stopped

  const Checkpoint& checkpoint_;
  const ModelOptions options_;
  const StateLayout& layout_;
  const double cpu_share_;
  double rested_at_ = 0;  // processor seconds of this thread at its last rest
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace barista
