// The weights of a model in the backend's memory: packed linear maps and plain vectors, built once from a checkpoint.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "server/model/checkpoint.h"
#include "server/model/weight_format.h"

namespace barista {

// A norm's weight (offset added) and bias; `weight.size() == 0`: the norm is absent, the identity.
struct NormWeights {
  Buffer weight;
  Buffer bias;
};

struct MixerWeights {
  Buffer conv_weight, conv_bias;  // [width, D], [D]
  // The gates are block-diagonal: block i maps columns [i D/blocks, (i+1) D/blocks) to the same columns.
  std::vector<std::unique_ptr<Linear>> input_gate, a_gate;
  Buffer softplus_a;  // [D]
};

// One layer. Products with the same input are stacked: `from_mixed` reads the mixer's output u, `values` the normalised
// input x; where there is no mixer (u = x) the values are stacked behind the rest of `from_mixed` and `values` is null.
// Column order of from_mixed: latent query, latent key, q, k, (v), each only where the layer has it.
struct LayerWeights {
  NormWeights mixer_norm, mixer_post_norm, mlp_norm, mlp_post_norm;
  MixerWeights mixer;
  std::unique_ptr<Linear> from_mixed;
  std::unique_ptr<Linear> values;
  std::unique_ptr<Linear> output;
  std::unique_ptr<Linear> mlp_in;   // up with the activation, gated or not; GLU blocks: [value | gate]
  std::unique_ptr<Linear> mlp_out;  // down; null in GLU blocks
};

struct Weights {
  Buffer embedding;  // [vocab, D] row-major in embedding_dtype
  DType embedding_dtype = DType::kF32;
  std::vector<LayerWeights> layers;
  NormWeights norm;
  std::unique_ptr<Linear> head;  // lm_head (the embedding where tied), or a classifier's score
  int64_t parameters = 0;
  int64_t bytes = 0;                                // in the backend's memory
  DType dtype = DType::kF32;                        // of the embedding as served: decides the rings' type
  Quantization quantization = Quantization::kNone;  // of the layers

  // What products are made with: "bf16", "int8".
  std::string_view type_name() const { return quantization == Quantization::kNone ? Name(dtype) : Name(quantization); }
};

// Beside the weights in the backend's memory it takes that of one packed matrix at most. Errors: RESOURCE_EXHAUSTED;
// INVALID_ARGUMENT naming a shape that the backend does not take.
absl::StatusOr<Weights> LoadWeights(const Checkpoint& checkpoint, Backend& backend, const WeightFormat& format);
// Without head, and with layers that hold nothing: for who loads one layer after another.
absl::StatusOr<Weights> LoadWeightsWithoutLayers(const Checkpoint& checkpoint, Backend& backend,
                                                 const WeightFormat& format);
absl::StatusOr<LayerWeights> LoadLayerWeights(const Checkpoint& checkpoint, Backend& backend,
                                              const WeightFormat& format, int64_t layer);

}  // namespace barista
