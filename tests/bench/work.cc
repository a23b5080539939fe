#include "tests/bench/work.h"

namespace barista::bench {
namespace {

double FlopsARow(const Linear* linear) {
  return linear == nullptr ? 0 : 2.0 * static_cast<double>(linear->in() * linear->out());
}

// Of all layers, without the head.
double FlopsAToken(const Model& model) {
  double flops = 0;
  for (const LayerWeights& w : model.weights().layers) {
    if (model.config().mlp == MlpKind::kGated) flops += FlopsARow(w.mlp_in.get());  // two products: gate and up
    for (const auto* linear : {&w.from_mixed, &w.values, &w.output, &w.mlp_in, &w.mlp_out}) {
      flops += FlopsARow(linear->get());
    }
    for (const auto& gate : w.mixer.input_gate) flops += FlopsARow(gate.get());
    for (const auto& gate : w.mixer.a_gate) flops += FlopsARow(gate.get());
  }
  return flops;
}

double StateBytes(const Model& model) {
  const StateLayout& layout = model.state_layout();
  double bytes = 0;
  for (const StateComponent& c : layout.components()) {
    const double size = static_cast<double>(c.count) * static_cast<double>(SizeOf(c.dtype));
    const bool ring = c.kind == StateKind::kKeys || c.kind == StateKind::kValues;
    bytes += ring ? size + size / static_cast<double>(layout.ring_rows(c.layer)) : 2 * size;
  }
  return bytes;
}

}  // namespace

double WeightBytes(const Model& model) {
  return static_cast<double>(model.weights().bytes) - static_cast<double>(model.weights().embedding.size());
}

Work DecodeWork(const Model& model, int64_t batch) {
  const double sessions = static_cast<double>(batch);
  return {.bytes = WeightBytes(model) + sessions * StateBytes(model),
          .flops = sessions * (FlopsAToken(model) + FlopsARow(model.weights().head.get()))};
}

Work PrefillWork(const Model& model, int64_t tokens) {
  return {.flops = static_cast<double>(tokens) * FlopsAToken(model) + FlopsARow(model.weights().head.get())};
}

}  // namespace barista::bench
