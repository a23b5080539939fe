// The sequence mixer of one layer: qk mixer, projections, rotations, Latte and window attention, output projection.
#include <utility>

#include "server/model/model.h"

namespace barista {

// u = mixer(x), what all query and key projections read; x itself where the model has no mixer. The norm is made with
// the first product that reads x, and is null then.
Rows Model::Mix(int64_t layer, Segments segments, const NormWeights*& norm, const Rows& x, const StatePool& pool) {
  const ModelConfig& c = config_;
  const LayerWeights& w = weights_.layers[layer];
  const int64_t D = c.hidden_size, rows = x.rows;
  Rows u = x;
  if (HasConv(c.qk_mixer)) {
    const Rows y = u_.Slice(0, rows);
    if (norm != nullptr) Norm(*std::exchange(norm, nullptr), x_.Slice(0, rows), x);
    backend_.Conv1d({.segments = segments,
                     .width = c.conv_width,
                     .weight = w.mixer.conv_weight.data(),
                     .bias = w.mixer.conv_bias.data(),
                     .x = u,
                     .y = y,
                     .inputs = pool.array(layer, StateKind::kConvInputs)});
    u = y;
  }
  // The values read x and the gates read u: both are ready, so they share one product.
  calls_.clear();
  if (w.values != nullptr) calls_.push_back({.weight = w.values.get(), .x = x, .y = v_.Slice(0, rows)});
  const Rows gates = gates_.Slice(0, rows);
  const int64_t blocks = static_cast<int64_t>(w.mixer.input_gate.size());
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t size = D / blocks;
    const Rows in = u.Columns(b * size, size);
    calls_.push_back({.weight = w.mixer.input_gate[b].get(), .x = in, .y = gates.Columns(b * size, size)});
    calls_.push_back({.weight = w.mixer.a_gate[b].get(), .x = in, .y = gates.Columns(D + b * size, size)});
  }
  if (!calls_.empty()) Multiply(std::exchange(norm, nullptr), rows, calls_);
  if (!HasRglru(c.qk_mixer)) return u;
  const Rows y = u_.Slice(0, rows);
  backend_.Rglru({.segments = segments,
                  .softplus_a = w.mixer.softplus_a.data(),
                  .x = u,
                  .input_gate = gates.Columns(0, D),
                  .a_gate = gates.Columns(D, D),
                  .y = y,
                  .for_products = true,
                  .h = pool.array(layer, StateKind::kRglruH)});
  return y;
}

void Model::Attention(int64_t layer, Segments segments, const NormWeights* norm, const Rows& x, const Rows& out,
                      bool accumulate, const StatePool& pool) {
  const ModelConfig& c = config_;
  const LayerWeights& w = weights_.layers[layer];
  const LayerType type = c.layer_types[layer];
  const int64_t H = c.num_attention_heads, G = c.num_key_value_heads, E = c.head_dim, M = c.latents_per_head;
  const int64_t rows = x.rows;
  const int64_t local = type == LayerType::kMacchiato ? 1 : 0;

  const Rows u = Mix(layer, segments, norm, x, pool);
  const Rows mixed = mixed_.Slice(0, rows);
  Multiply(norm, rows, {{.weight = w.from_mixed.get(), .x = u, .y = mixed}});
  int64_t column = 0;
  const auto take = [&](int64_t columns) {
    const Rows part = mixed.Columns(column, columns);
    column += columns;
    return part;
  };
  const Rows p = HasLatents(type) ? take(H * (M + local)) : Rows{};
  const Rows latent_k = HasLatents(type) ? take(G * M) : Rows{};
  const Rows q = HasSoftmaxAttention(type) ? take(H * E) : Rows{};
  const Rows k = HasSoftmaxAttention(type) ? take(G * E) : Rows{};
  const Rows v = w.values == nullptr ? take(G * E) : v_.Slice(0, rows);
  const Rows y = y_.Slice(0, rows);

  AttendArgs attend = {.positions = absl::MakeConstSpan(positions_).first(rows),
                       .theta = c.rope_theta,
                       .p_scale = c.latent_scale,
                       .turn_values = HasLatents(type) && c.value_position == ValuePosition::kVapor,
                       .turn_queries = HasSoftmaxAttention(type) && c.local_position == LocalPosition::kRope,
                       .turned = rotated_.Slice(0, rows),
                       .for_products = true};
  if (type == LayerType::kBidirectional) {
    attend.bidirectional = {.segments = segments,
                            .heads = H,
                            .kv_heads = G,
                            .head_dim = E,
                            .latents = M,
                            .p = p,
                            .k = latent_k,
                            .k_scale = c.latent_scale,
                            .v = v,
                            .y = y};
  } else if (HasLatents(type)) {
    attend.latte = {.segments = segments,
                    .heads = H,
                    .kv_heads = G,
                    .head_dim = E,
                    .latents = M,
                    .local = local,
                    .p = p,
                    .k = latent_k,
                    .k_scale = c.latent_scale,
                    .v = v,
                    .y = y,
                    .max = pool.array(layer, StateKind::kLatentMax),
                    .alpha = pool.array(layer, StateKind::kLatentAlpha),
                    .vtilde = pool.array(layer, StateKind::kLatentVtilde)};
  }
  if (HasSoftmaxAttention(type)) {
    const int64_t capacity = layout_.ring_rows(layer);
    attend.window = {.segments = segments,
                     .heads = H,
                     .kv_heads = G,
                     .head_dim = E,
                     .window = capacity,
                     .capacity = capacity,
                     .scale = c.attention_scale,
                     .softcap = c.attention_softcap,
                     .q = q,
                     .k = k,
                     .v = v,
                     .weight = local == 1 ? p : Rows{},
                     .weight_stride = M + 1,
                     .y = y,
                     .keys = pool.array(layer, StateKind::kKeys),
                     .values = pool.array(layer, StateKind::kValues)};
  }
  backend_.Attend(attend);
  if (HasLatents(type)) KeepSampled(layer, p);
  backend_.Multiply({{.weight = w.output.get(), .x = y, .y = out, .accumulate = accumulate}});
}

}  // namespace barista
