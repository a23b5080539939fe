#include "server/model/config.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/model/json_fields.h"
#include "server/model/strict_json.h"

namespace barista {
namespace {

constexpr absl::string_view kKeys[] = {"model_type",
                                       "format_version",
                                       "task",
                                       "vocab_size",
                                       "hidden_size",
                                       "num_hidden_layers",
                                       "layer_types",
                                       "num_attention_heads",
                                       "num_key_value_heads",
                                       "head_dim",
                                       "latents_per_head",
                                       "latent_scale",
                                       "sliding_window",
                                       "attention_scale",
                                       "attention_softcap",
                                       "local_position",
                                       "value_position",
                                       "rope_theta",
                                       "position_embedding",
                                       "qk_mixer",
                                       "qk_mixer_blocks",
                                       "conv_width",
                                       "block",
                                       "norm",
                                       "norm_placement",
                                       "norm_eps",
                                       "norm_weight_offset",
                                       "mlp",
                                       "hidden_act",
                                       "intermediate_size",
                                       "embedding_scale",
                                       "tie_word_embeddings",
                                       "final_softcap",
                                       "bos_token_id",
                                       "eos_token_id",
                                       "pad_token_id",
                                       "num_labels",
                                       "pool",
                                       "max_position_embeddings"};
constexpr absl::string_view kIgnoredKeys[] = {"architectures", "torch_dtype", "dtype", "transformers_version"};

constexpr int64_t kMaxLayers = 1024;
constexpr RealRange kScale = {1e-12, 1e6};
constexpr RealRange kSoftcap = {0, 1e6};
// Bounds of products, so that sizes of weights and states in bytes stay far inside int64_t.
constexpr int64_t kMaxProjection = int64_t{1} << 20;  // H * E
constexpr int64_t kMaxLayerState = int64_t{1} << 28;  // G * M * E and w * G * E: 1 GiB of float32 each

// A size that only some models need: required and at least 1 where `needed`, else checked and 0.
int64_t SizeIf(bool needed, JsonFields& fields, absl::string_view key, int64_t max) {
  if (needed) return fields.Int(key, {1, max});
  fields.IntOr(key, {0, max}, 0);
  return 0;
}

void ReadIdentity(JsonFields& fields, const nlohmann::json& object) {
  const auto type = object.find("model_type");
  if (type == object.end() || *type != "latte") {
    fields.Fail(type == object.end() ? "model_type is missing (must be \"latte\")"
                                     : absl::StrCat("model_type is ", Shown(*type), "; must be \"latte\""));
  }
  fields.Int("format_version", {1, 1});
}

void ReadAttention(JsonFields& fields, ModelConfig& c) {
  c.num_attention_heads = fields.Int("num_attention_heads", {1, 4096});
  c.num_key_value_heads = fields.Int("num_key_value_heads", {1, 4096});
  c.head_dim = fields.Int("head_dim", {1, 8192});
  c.latents_per_head = SizeIf(c.any_layer(HasLatents), fields, "latents_per_head", 65536);
  c.latent_scale = fields.RealOr("latent_scale", kScale, 1.0);
  c.sliding_window = SizeIf(c.any_layer(HasWindow), fields, "sliding_window", int64_t{1} << 20);
  c.attention_scale = fields.RealOr("attention_scale", kScale, 1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  c.attention_softcap = fields.RealOr("attention_softcap", kSoftcap, 0.0);
  c.local_position =
      fields.Word("local_position", {LocalPosition::kNone, LocalPosition::kRope}, {LocalPosition::kNone});
  c.value_position =
      fields.Word("value_position", {ValuePosition::kNone, ValuePosition::kVapor}, {ValuePosition::kNone});
  c.rope_theta = fields.RealOr("rope_theta", {1.0, 1e15}, 10000.0);
  c.qk_mixer =
      fields.Word("qk_mixer", {QkMixer::kNone, QkMixer::kConv, QkMixer::kRglru, QkMixer::kConvRglru}, {QkMixer::kNone});
  c.qk_mixer_blocks = SizeIf(HasRglru(c.qk_mixer), fields, "qk_mixer_blocks", 65536);
  c.conv_width = SizeIf(HasConv(c.qk_mixer), fields, "conv_width", 256);
}

void ReadBlock(JsonFields& fields, ModelConfig& c) {
  c.block = fields.Word("block", {BlockKind::kTransformer, BlockKind::kGlu}, {BlockKind::kTransformer});
  c.norm = fields.Word("norm", {NormKind::kLayerNorm, NormKind::kRmsNorm, NormKind::kAffine});
  c.norm_placement =
      fields.Word("norm_placement", {NormPlacement::kPre, NormPlacement::kPost, NormPlacement::kSandwich});
  c.norm_eps = fields.Real("norm_eps", {0.0, 1.0});
  c.norm_weight_offset = fields.RealOr("norm_weight_offset", {-1e6, 1e6}, 0.0);
  if (c.block == BlockKind::kGlu) return;
  c.mlp = fields.Word("mlp", {MlpKind::kPlain, MlpKind::kGated});
  c.hidden_act = fields.Word("hidden_act", {Activation::kGelu, Activation::kSilu});
  c.intermediate_size = fields.Int("intermediate_size", {1, int64_t{1} << 20});
}

void ReadEnds(JsonFields& fields, ModelConfig& c) {
  c.position_embedding = fields.Word("position_embedding", {PositionEmbedding::kNone, PositionEmbedding::kSinusoidal},
                                     {PositionEmbedding::kNone});
  c.embedding_scale = fields.RealOr("embedding_scale", kScale, 1.0);
  c.tie_word_embeddings = fields.OptionalBool("tie_word_embeddings").value_or(false);
  c.final_softcap = fields.RealOr("final_softcap", kSoftcap, 0.0);
  c.max_position_embeddings = fields.IntOr("max_position_embeddings", {1, int64_t{1} << 24}, 0);
  c.bos_token_id = fields.OptionalId("bos_token_id", c.vocab_size);
  c.eos_token_ids = fields.OptionalIds("eos_token_id", c.vocab_size).value_or(std::vector<int32_t>{});
  c.pad_token_id = fields.OptionalId("pad_token_id", c.vocab_size);
  // A language model may carry them, as Hugging Face writes them everywhere; they mean nothing there.
  if (c.task == Task::kClassification) {
    c.num_labels = fields.Int("num_labels", {2, int64_t{1} << 20});
    c.pool = fields.Word("pool", {Pool::kMean, Pool::kLast});
  }
}

void CheckTogether(JsonFields& fields, const ModelConfig& c) {
  const int64_t D = c.hidden_size, H = c.num_attention_heads, G = c.num_key_value_heads, E = c.head_dim;
  if (H % G != 0) {
    fields.Fail(
        absl::StrCat("num_attention_heads is ", H, "; must be a multiple of num_key_value_heads, which is ", G));
  }
  if (H * E > kMaxProjection) {
    fields.Fail(absl::StrCat("num_attention_heads * head_dim is ", H * E, "; the limit is ", kMaxProjection));
  }
  if (G * c.latents_per_head * E > kMaxLayerState) {
    fields.Fail(absl::StrCat("num_key_value_heads * latents_per_head * head_dim is ", G * c.latents_per_head * E,
                             "; the limit is ", kMaxLayerState));
  }
  if (G * c.sliding_window * E > kMaxLayerState) {
    fields.Fail(absl::StrCat("num_key_value_heads * sliding_window * head_dim is ", G * c.sliding_window * E,
                             "; the limit is ", kMaxLayerState));
  }
  if (E % 2 != 0 && c.local_position == LocalPosition::kRope && c.any_layer(HasSoftmaxAttention)) {
    fields.Fail(absl::StrCat("head_dim is ", E, "; must be even because local_position is \"rope\""));
  }
  if (E % 2 != 0 && c.value_position == ValuePosition::kVapor && c.any_layer(HasLatents)) {
    fields.Fail(absl::StrCat("head_dim is ", E, "; must be even because value_position is \"vapor\""));
  }
  if (D % 2 != 0 && c.position_embedding == PositionEmbedding::kSinusoidal) {
    fields.Fail(absl::StrCat("hidden_size is ", D, "; must be even because position_embedding is \"sinusoidal\""));
  }
  if (HasRglru(c.qk_mixer) && D % c.qk_mixer_blocks != 0) {
    fields.Fail(absl::StrCat("qk_mixer_blocks is ", c.qk_mixer_blocks, "; must divide hidden_size, which is ", D));
  }
  for (size_t i = 0; i < c.layer_types.size(); ++i) {
    if ((c.layer_types[i] == LayerType::kBidirectional) != (c.task == Task::kClassification)) {
      fields.Fail(absl::StrCat("layer_types[", i, "] is \"", Name(c.layer_types[i]), "\", but task is \"", Name(c.task),
                               "\": all layers of a classification model are bidirectional, and none of a causal_lm"));
    }
  }
}

}  // namespace

bool ModelConfig::any_layer(bool (*predicate)(LayerType)) const {
  return std::any_of(layer_types.begin(), layer_types.end(), predicate);
}

absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json, absl::string_view origin) {
  const auto object = ParseStrictJson(json, origin);
  if (!object.ok()) return object.status();
  JsonFields fields(*object, origin);
  if (!fields.ok()) return fields.status();

  ReadIdentity(fields, *object);  // first: another kind of model should hear that, not of its unknown keys
  if (!fields.ok()) return fields.status();
  fields.RefuseUnknown(kKeys, kIgnoredKeys);

  ModelConfig c;
  c.task = fields.Word("task", {Task::kCausalLm, Task::kClassification}, {Task::kCausalLm});
  c.vocab_size = fields.Int("vocab_size", {1, int64_t{1} << 22});
  c.hidden_size = fields.Int("hidden_size", {1, 65536});
  c.num_hidden_layers = fields.Int("num_hidden_layers", {1, kMaxLayers});
  c.layer_types = fields.Words("layer_types",
                               {LayerType::kLatte, LayerType::kMacchiato, LayerType::kSlidingAttention,
                                LayerType::kFullAttention, LayerType::kBidirectional},
                               kMaxLayers);
  if (static_cast<int64_t>(c.layer_types.size()) != c.num_hidden_layers) {
    fields.Fail(absl::StrCat("layer_types lists ", c.layer_types.size(), " layers; num_hidden_layers is ",
                             c.num_hidden_layers));
  }
  ReadAttention(fields, c);
  ReadBlock(fields, c);
  ReadEnds(fields, c);
  if (fields.ok()) CheckTogether(fields, c);
  if (!fields.ok()) return fields.status();
  return c;
}

}  // namespace barista
