#include "server/engine/latent_meter.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace barista {
namespace {

void Mix(prometheus::Gauge& mean, double value, double weight) {
  mean.Set(mean.Value() + weight * (value - mean.Value()));
}

}  // namespace

LatentMeter::LatentMeter(const Model& model, int64_t steps, Metrics& metrics)
    : model_(model), steps_(steps), metrics_(metrics), counts_(model.latent_layers().size()) {
  for (const int64_t layer : model.latent_layers()) {
    const std::map<std::string, std::string> label = {{"layer", std::to_string(layer)}};
    const bool local = model.config().layer_types[layer] == LayerType::kMacchiato;
    layers_.push_back({&metrics.latent_entropy.Add(label), &metrics.effective_latents.Add(label),
                       local ? &metrics.local_mass.Add(label) : nullptr});
  }
}

absl::Span<const int32_t> LatentMeter::RowsOf(uint64_t step, int64_t rows) {
  if (!Measures(step)) return {};
  row_ = static_cast<int32_t>(step / steps_ % rows);
  return {&row_, 1};
}

void LatentMeter::Observe() {
  const std::vector<LatentUse> uses = model_.SampledLatentUse();
  for (size_t i = 0; i < uses.size(); ++i) {
    if (!std::isfinite(uses[i].entropy)) continue;  // barista_state_nonfinite_total tells
    const double weight = Weight(counts_[i]++);
    Mix(*layers_[i].entropy, uses[i].entropy, weight);
    Mix(*layers_[i].effective_latents, uses[i].effective_latents, weight);
    if (layers_[i].local_mass != nullptr) Mix(*layers_[i].local_mass, uses[i].local_mass, weight);
  }
  metrics_.latent_rows_total.Increment();
}

double LatentMeter::Weight(int64_t count) { return 1.0 / static_cast<double>(std::min(count + 1, kMemory)); }

}  // namespace barista
