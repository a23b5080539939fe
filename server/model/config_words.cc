// The words of config.json's enumerations.
#include "server/model/config.h"

namespace barista {

absl::string_view Name(Task value) { return value == Task::kCausalLm ? "causal_lm" : "classification"; }

absl::string_view Name(LayerType value) {
  switch (value) {
    case LayerType::kLatte:
      return "latte";
    case LayerType::kMacchiato:
      return "macchiato";
    case LayerType::kSlidingAttention:
      return "sliding_attention";
    case LayerType::kFullAttention:
      return "full_attention";
    case LayerType::kBidirectional:
      return "bidirectional";
  }
  return "?";
}

absl::string_view Name(LocalPosition value) { return value == LocalPosition::kNone ? "none" : "rope"; }
absl::string_view Name(ValuePosition value) { return value == ValuePosition::kNone ? "none" : "vapor"; }
absl::string_view Name(PositionEmbedding value) { return value == PositionEmbedding::kNone ? "none" : "sinusoidal"; }

absl::string_view Name(QkMixer value) {
  switch (value) {
    case QkMixer::kNone:
      return "none";
    case QkMixer::kConv:
      return "conv";
    case QkMixer::kRglru:
      return "rglru";
    case QkMixer::kConvRglru:
      return "conv_rglru";
  }
  return "?";
}

absl::string_view Name(BlockKind value) { return value == BlockKind::kTransformer ? "transformer" : "glu"; }

absl::string_view Name(NormKind value) {
  switch (value) {
    case NormKind::kLayerNorm:
      return "layernorm";
    case NormKind::kRmsNorm:
      return "rmsnorm";
    case NormKind::kAffine:
      return "affine";
  }
  return "?";
}

absl::string_view Name(NormPlacement value) {
  switch (value) {
    case NormPlacement::kPre:
      return "pre";
    case NormPlacement::kPost:
      return "post";
    case NormPlacement::kSandwich:
      return "sandwich";
  }
  return "?";
}

absl::string_view Name(MlpKind value) { return value == MlpKind::kPlain ? "plain" : "gated"; }
absl::string_view Name(Activation value) { return value == Activation::kGelu ? "gelu" : "silu"; }
absl::string_view Name(Pool value) { return value == Pool::kMean ? "mean" : "last"; }

}  // namespace barista
