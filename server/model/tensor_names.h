// The names and shapes of a checkpoint's tensors, derived from its configuration. Pure functions of their arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/model/config.h"

namespace barista {

// One tensor a checkpoint must (or, where not required, may) hold.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  std::string shape_words;  // the shape in config.json's words: "[num_key_value_heads*head_dim, hidden_size]"
  bool required = true;
  std::string needs;    // where this tensor is present, the one of this name must be too; empty = none
  bool linear = false;  // the weight [out, in] of a linear layer
};

// "model.layers.3.mixer.v_proj.weight" for (3, "mixer.v_proj.weight").
std::string LayerTensorName(int64_t layer, absl::string_view suffix);

// Every tensor that a checkpoint of `config` may hold, each once, in the order of the forward pass. Optional are: the
// bias of a linear map, the bias of an rmsnorm, model.norm, and mixer_post_norm of a glu block with sandwich placement
// (absent norms are the identity).
std::vector<TensorSpec> ExpectedTensors(const ModelConfig& config);

}  // namespace barista
