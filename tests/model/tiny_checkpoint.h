// The smallest checkpoint that has one of everything a test wants to break: two layers (macchiato, latte), convolution
// and RG-LRU, gated MLP, rmsnorm. Sizes differ from each other so that a swapped shape cannot pass.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/model/tensor_names.h"
#include "tests/support/safetensors_builder.h"
#include "tests/support/temp_dir.h"

namespace barista {

inline nlohmann::json TinyConfig() {
  return nlohmann::json::parse(R"({
    "model_type": "latte", "format_version": 1, "task": "causal_lm", "vocab_size": 11, "hidden_size": 12,
    "num_hidden_layers": 2, "layer_types": ["macchiato", "latte"], "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "latents_per_head": 3, "latent_scale": 1.0, "sliding_window": 5, "attention_scale": 0.25,
    "attention_softcap": 50.0, "local_position": "rope", "value_position": "vapor", "rope_theta": 10000.0,
    "position_embedding": "none", "qk_mixer": "conv_rglru", "qk_mixer_blocks": 3, "conv_width": 4,
    "block": "transformer", "norm": "rmsnorm", "norm_placement": "pre", "norm_eps": 1e-6, "norm_weight_offset": 0.0,
    "mlp": "gated", "hidden_act": "silu", "intermediate_size": 20, "embedding_scale": 1.0,
    "tie_word_embeddings": false, "final_softcap": null, "max_position_embeddings": null, "bos_token_id": 1,
    "eos_token_id": [2, 3], "pad_token_id": 0})");
}

inline nlohmann::json TinyClassifierConfig() {
  nlohmann::json config = TinyConfig();
  config.update({{"task", "classification"},
                 {"layer_types", {"bidirectional", "bidirectional"}},
                 {"num_labels", 3},
                 {"pool", "last"},
                 {"norm", "layernorm"},
                 {"mlp", "plain"},
                 {"hidden_act", "gelu"}});
  return config;
}

using TensorShapes = std::map<std::string, std::vector<int64_t>>;

// Every tensor that `config` requires and, where asked, every optional one.
inline TensorShapes ShapesOf(const nlohmann::json& config, bool optional_too = false) {
  const auto parsed = ParseModelConfig(config.dump(), "config.json");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  TensorShapes shapes;
  for (const TensorSpec& spec : ExpectedTensors(*parsed)) {
    if (spec.required || optional_too) shapes[spec.name] = spec.shape;
  }
  return shapes;
}

inline std::string BuildWeights(const TensorShapes& shapes) {
  SafetensorsBuilder builder;
  for (const auto& [name, shape] : shapes) builder.AddF32(name, shape);
  return builder.Build();
}

inline void WriteCheckpoint(const TempDir& dir, const nlohmann::json& config, const TensorShapes& shapes) {
  dir.Write("config.json", config.dump());
  dir.Write("model.safetensors", BuildWeights(shapes));
}

}  // namespace barista
