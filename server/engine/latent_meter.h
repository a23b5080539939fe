// Samples how the served tokens use the latents: one row of every so many steps, exported as means a layer. The
// engine's thread only.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "server/model/model.h"
#include "server/observe/metrics.h"

namespace barista {

class LatentMeter {
 public:
  // A row each `steps` steps; 0: never. Adds the model's layers to the metrics.
  LatentMeter(const Model& model, int64_t steps, Metrics& metrics);

  // Whether one of step number `step` is.
  bool Measures(uint64_t step) const { return steps_ != 0 && !layers_.empty() && step % steps_ == 0; }
  // Which of the rows of step number `step` is measured: one, or none. Valid until the next call.
  absl::Span<const int32_t> RowsOf(uint64_t step, int64_t rows);
  // After the Forward that RowsOf chose rows of: reads and exports them.
  void Observe();

  // The weight of one more value in the mean after `count` of them: at first it is the plain mean, then the last
  // kMemory values weigh most.
  static double Weight(int64_t count);
  static constexpr int64_t kMemory = 256;

 private:
  struct Layer {
    prometheus::Gauge* entropy;
    prometheus::Gauge* effective_latents;
    prometheus::Gauge* local_mass;  // null: the layer has no local state
  };

  const Model& model_;
  const int64_t steps_;
  Metrics& metrics_;
  std::vector<Layer> layers_;  // beside model.latent_layers()
  std::vector<int64_t> counts_;
  int32_t row_ = 0;
};

}  // namespace barista
