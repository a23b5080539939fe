// The model's configuration: every key of a checkpoint's config.json as one plain value, validated once.
//
// A ModelConfig that ParseModelConfig returned is trusted everywhere else: sizes are in range, fit together and their
// products do not overflow int64_t; real values are finite. Immutable after loading, so any thread may read it.
// Notation of comments: D hidden_size, H num_attention_heads, G num_key_value_heads, E head_dim, M latents_per_head,
// w sliding_window.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/activation/activation.h"  // Activation
#include "kernels/norm/norm.h"              // NormKind

namespace barista {

enum class Task : uint8_t { kCausalLm, kClassification };
enum class LayerType : uint8_t { kLatte, kMacchiato, kSlidingAttention, kFullAttention, kBidirectional };
enum class LocalPosition : uint8_t { kNone, kRope };
enum class ValuePosition : uint8_t { kNone, kVapor };
enum class PositionEmbedding : uint8_t { kNone, kSinusoidal };
enum class QkMixer : uint8_t { kNone, kConv, kRglru, kConvRglru };
enum class BlockKind : uint8_t { kTransformer, kGlu };
enum class NormPlacement : uint8_t { kPre, kPost, kSandwich };
enum class MlpKind : uint8_t { kPlain, kGated };
enum class Pool : uint8_t { kMean, kLast };

// The word config.json uses for the value ("sliding_attention", "conv_rglru", ...).
absl::string_view Name(Task value);
absl::string_view Name(LayerType value);
absl::string_view Name(LocalPosition value);
absl::string_view Name(ValuePosition value);
absl::string_view Name(PositionEmbedding value);
absl::string_view Name(QkMixer value);
absl::string_view Name(BlockKind value);
absl::string_view Name(NormKind value);
absl::string_view Name(NormPlacement value);
absl::string_view Name(MlpKind value);
absl::string_view Name(Activation value);
absl::string_view Name(Pool value);

// What a layer of this kind holds.
constexpr bool HasLatents(LayerType t) {
  return t == LayerType::kLatte || t == LayerType::kMacchiato || t == LayerType::kBidirectional;
}
// Softmax attention over keys: q_proj and k_proj exist.
constexpr bool HasSoftmaxAttention(LayerType t) {
  return t == LayerType::kMacchiato || t == LayerType::kSlidingAttention || t == LayerType::kFullAttention;
}
// The softmax attention sees the last w tokens only.
constexpr bool HasWindow(LayerType t) { return t == LayerType::kMacchiato || t == LayerType::kSlidingAttention; }
constexpr bool HasConv(QkMixer m) { return m == QkMixer::kConv || m == QkMixer::kConvRglru; }
constexpr bool HasRglru(QkMixer m) { return m == QkMixer::kRglru || m == QkMixer::kConvRglru; }

struct ModelConfig {
  Task task = Task::kCausalLm;

  int64_t vocab_size = 0;              // 1 .. 4,194,304
  int64_t hidden_size = 0;             // D: 1 .. 65,536; even with sinusoidal positions
  int64_t num_hidden_layers = 0;       // 1 .. 1,024
  std::vector<LayerType> layer_types;  // [num_hidden_layers]; all kBidirectional in a classifier, none elsewhere

  int64_t num_attention_heads = 0;  // H: 1 .. 4,096
  int64_t num_key_value_heads = 0;  // G: 1 .. H, divides H; query head h reads head h / (H/G)
  int64_t head_dim = 0;             // E: 1 .. 8,192; even where rotated (rope, vapor); H*E need not equal D
  int64_t latents_per_head = 0;     // M, per key/value head: 1 .. 65,536; 0 where no layer has latents
  double latent_scale = 1.0;        // multiplies latent query and latent key logits

  int64_t sliding_window = 0;      // w, tokens, the current one included: 1 .. 1,048,576; 0 where no layer has a window
  double attention_scale = 0.0;    // of every softmax attention; E^-0.5 where config.json has none, so always > 0
  double attention_softcap = 0.0;  // cap * tanh(s / cap); 0 = none

  LocalPosition local_position = LocalPosition::kNone;              // rotation of q and k of softmax attentions
  ValuePosition value_position = ValuePosition::kNone;              // rotation of values of latent layers
  double rope_theta = 10000.0;                                      // of both rotations
  PositionEmbedding position_embedding = PositionEmbedding::kNone;  // added to the scaled embeddings

  QkMixer qk_mixer = QkMixer::kNone;  // one kind for all layers
  int64_t qk_mixer_blocks = 0;        // blocks of the RG-LRU gates, divides D; 0 where the mixer has no RG-LRU
  int64_t conv_width = 0;             // taps, the current token included: 1 .. 256; 0 where the mixer has no conv

  BlockKind block = BlockKind::kTransformer;
  NormKind norm = NormKind::kLayerNorm;
  NormPlacement norm_placement = NormPlacement::kPre;
  double norm_eps = 0.0;            // added to the variance: 0 .. 1
  double norm_weight_offset = 0.0;  // added to every norm's weight

  MlpKind mlp = MlpKind::kPlain;              // the three are ignored in config.json, and keep these values,
  Activation hidden_act = Activation::kGelu;  // where block is kGlu
  int64_t intermediate_size = 0;              // 1 .. 1,048,576

  double embedding_scale = 1.0;
  bool tie_word_embeddings = false;
  double final_softcap = 0.0;           // on the logits; 0 = none
  int64_t max_position_embeddings = 0;  // the trained length, tokens; 0 = not stated

  std::optional<int32_t> bos_token_id;  // ids: 0 .. vocab_size - 1
  std::vector<int32_t> eos_token_ids;   // key eos_token_id; empty = none
  std::optional<int32_t> pad_token_id;

  int64_t num_labels = 0;   // classes of a classifier: 2 .. 1,048,576; 0 in a language model
  Pool pool = Pool::kMean;  // of a classifier: over the unpadded tokens

  // Whether some layer satisfies the predicate: any_layer(HasLatents).
  bool any_layer(bool (*predicate)(LayerType)) const;
};

// Reads the text of a config.json. `origin` (a path) starts every message. Strict: unknown keys (the nearest valid key
// is suggested), duplicate keys, wrong types, values out of range and combinations that contradict each other are
// InvalidArgument, naming key, value and limit. `null` for a key that may be absent means absent.
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json, absl::string_view origin);

}  // namespace barista
