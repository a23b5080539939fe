#include "server/model/tensor_names.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace barista {
namespace {

// An extent and how config.json's keys spell it.
struct Extent {
  int64_t size;
  std::string words;
};

class SpecList {
 public:
  explicit SpecList(const ModelConfig& config) : config_(config) {}

  void Tensor(std::string name, std::vector<Extent> extents, bool required = true, std::string needs = "") {
    TensorSpec spec{std::move(name), {}, {}, required, std::move(needs), false};
    std::vector<std::string> words;
    for (Extent& extent : extents) {
      spec.shape.push_back(extent.size);
      words.push_back(std::move(extent.words));
    }
    spec.shape_words = absl::StrCat("[", absl::StrJoin(words, ", "), "]");
    specs_.push_back(std::move(spec));
  }

  void Linear(const std::string& name, const Extent& out, const Extent& in) {
    Tensor(name + ".weight", {out, in});
    specs_.back().linear = true;
    Tensor(name + ".bias", {out}, /*required=*/false);
  }

  void Norm(const std::string& name, bool required = true) {
    const Extent d{config_.hidden_size, "hidden_size"};
    const bool has_bias = config_.norm != NormKind::kRmsNorm;
    Tensor(name + ".weight", {d}, required, has_bias && !required ? name + ".bias" : "");
    Tensor(name + ".bias", {d}, required && has_bias, required ? "" : name + ".weight");
  }

  std::vector<TensorSpec> Take() { return std::move(specs_); }

 private:
  const ModelConfig& config_;
  std::vector<TensorSpec> specs_;
};

void AddQkMixer(const ModelConfig& c, const std::string& prefix, SpecList& list) {
  const Extent d{c.hidden_size, "hidden_size"};
  if (HasConv(c.qk_mixer)) {
    list.Tensor(prefix + "conv.weight", {{c.conv_width, "conv_width"}, d});
    list.Tensor(prefix + "conv.bias", {d});
  }
  if (HasRglru(c.qk_mixer)) {
    const Extent blocks{c.qk_mixer_blocks, "qk_mixer_blocks"};
    const Extent in_block{c.hidden_size / c.qk_mixer_blocks, "hidden_size/qk_mixer_blocks"};
    list.Tensor(prefix + "rglru.a_param", {d});
    for (const char* gate : {"rglru.input_gate", "rglru.a_gate"}) {
      list.Tensor(absl::StrCat(prefix, gate, ".weight"), {blocks, in_block, in_block});
      list.Tensor(absl::StrCat(prefix, gate, ".bias"), {d});
    }
  }
}

void AddMixer(const ModelConfig& c, LayerType type, const std::string& prefix, SpecList& list) {
  const int64_t H = c.num_attention_heads, G = c.num_key_value_heads, E = c.head_dim, M = c.latents_per_head;
  const Extent d{c.hidden_size, "hidden_size"};
  const Extent queries{H * E, "num_attention_heads*head_dim"};
  const Extent keys{G * E, "num_key_value_heads*head_dim"};
  AddQkMixer(c, prefix + "qk_mixer.", list);
  if (HasLatents(type)) {
    // The local state of a macchiato layer is column 0 of each query head.
    const bool local = type == LayerType::kMacchiato;
    list.Linear(
        prefix + "latent_query",
        {H * (M + local), local ? "num_attention_heads*(latents_per_head+1)" : "num_attention_heads*latents_per_head"},
        d);
    list.Linear(prefix + "latent_key", {G * M, "num_key_value_heads*latents_per_head"}, d);
  }
  if (HasSoftmaxAttention(type)) {
    list.Linear(prefix + "q_proj", queries, d);
    list.Linear(prefix + "k_proj", keys, d);
  }
  list.Linear(prefix + "v_proj", keys, d);
  list.Linear(prefix + "o_proj", d, queries);
}

void AddLayer(const ModelConfig& c, int64_t i, SpecList& list) {
  const std::string layer = LayerTensorName(i, "");
  const Extent d{c.hidden_size, "hidden_size"};
  const bool glu = c.block == BlockKind::kGlu;
  const bool sandwich = c.norm_placement == NormPlacement::kSandwich;
  list.Norm(layer + "mixer_norm");
  AddMixer(c, c.layer_types[i], layer + "mixer.", list);
  // A glu block is said to have one norm; under sandwich placement a second one is applied where there is one.
  if (sandwich) list.Norm(layer + "mixer_post_norm", /*required=*/!glu);
  if (glu) {
    list.Linear(layer + "glu.value", d, d);
    list.Linear(layer + "glu.gate", d, d);
    return;
  }
  const Extent inner{c.intermediate_size, "intermediate_size"};
  list.Norm(layer + "mlp_norm");
  if (c.mlp == MlpKind::kGated) list.Linear(layer + "mlp.gate_proj", inner, d);
  list.Linear(layer + "mlp.up_proj", inner, d);
  list.Linear(layer + "mlp.down_proj", d, inner);
  if (sandwich) list.Norm(layer + "mlp_post_norm");
}

}  // namespace

std::string LayerTensorName(int64_t layer, absl::string_view suffix) {
  return absl::StrCat("model.layers.", layer, ".", suffix);
}

std::vector<TensorSpec> ExpectedTensors(const ModelConfig& config) {
  SpecList list(config);
  const Extent vocab{config.vocab_size, "vocab_size"}, d{config.hidden_size, "hidden_size"};
  list.Tensor("model.embed_tokens.weight", {vocab, d});
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) AddLayer(config, i, list);
  list.Norm("model.norm", /*required=*/false);
  if (config.task == Task::kClassification) {
    list.Linear("score", {config.num_labels, "num_labels"}, d);
  } else if (!config.tie_word_embeddings) {
    list.Linear("lm_head", vocab, d);
  }
  return list.Take();
}

}  // namespace barista
