#include "server/model/weights.h"

#include <cmath>
#include <cstring>
#include <deque>

#include "absl/strings/str_cat.h"
#include "server/model/tensor_names.h"

namespace barista {
namespace {

constexpr int64_t kF64Bytes = 8;

// Reads a checkpoint's tensors, rounded or quantised where asked, into the backend's memory.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Backend& backend, const WeightFormat& format)
      : checkpoint_(checkpoint), backend_(backend), format_(format) {}

  struct Data {
    const void* data = nullptr;
    DType dtype = DType::kF32;
    int64_t count = 0;
  };

  Data Read(const std::string& name) {
    const HostTensor* tensor = checkpoint_.find(name);
    if (tensor == nullptr) return {};
    const int64_t count = static_cast<int64_t>(tensor->bytes.size() / SizeOf(tensor->dtype));
    parameters_ += count;
    const std::optional<DType> as = format_.dtype;
    if (!as || *as == tensor->dtype) return {tensor->bytes.data(), tensor->dtype, count};
    std::vector<std::byte>& rounded = rounded_.emplace_back(count * SizeOf(*as));
    for (int64_t i = 0; i < count; ++i) {
      const float x = static_cast<float>(LoadAsDouble(tensor->bytes.data(), tensor->dtype, i));
      if (*as == DType::kF32) reinterpret_cast<float*>(rounded.data())[i] = x;
      if (*as == DType::kBF16) reinterpret_cast<BFloat16*>(rounded.data())[i] = ToBFloat16(x);
      if (*as == DType::kF16) reinterpret_cast<Float16*>(rounded.data())[i] = ToFloat16(x);
    }
    return {rounded.data(), *as, count};
  }

  // f(element) of a tensor as a vector of the backend's activation type; empty where the tensor is absent.
  template <class F>
  absl::StatusOr<Buffer> Vector(const std::string& name, F f) {
    const Data data = Read(name);
    if (data.data == nullptr) return Buffer();
    std::vector<std::byte> host(data.count * kF64Bytes);
    const DType dtype = backend_.activation_dtype();
    for (int64_t i = 0; i < data.count; ++i) {
      const double x = f(LoadAsDouble(data.data, data.dtype, i));
      if (dtype == DType::kF64) reinterpret_cast<double*>(host.data())[i] = x;
      if (dtype == DType::kF32) reinterpret_cast<float*>(host.data())[i] = static_cast<float>(x);
    }
    return ToDevice(host.data(), data.count * SizeOf(dtype), name);
  }
  absl::StatusOr<Buffer> Vector(const std::string& name) {
    return Vector(name, [](double x) { return x; });
  }

  absl::StatusOr<Buffer> ToDevice(const void* data, size_t bytes, const std::string& name) {
    absl::StatusOr<Buffer> buffer = backend_.Allocate(bytes, name);
    if (!buffer.ok()) return buffer;
    backend_.Upload(buffer->data(), data, bytes);
    bytes_ += static_cast<int64_t>(bytes);
    return buffer;
  }

  HostMatrix Matrix(const std::string& name, int64_t out, int64_t in) {
    const Data weight = Read(name + ".weight");
    const Data bias = Read(name + ".bias");
    return {.data = weight.data,
            .dtype = weight.dtype,
            .out = out,
            .in = in,
            .transposed = false,
            .bias = bias.data,
            .bias_dtype = bias.dtype};
  }

  absl::StatusOr<std::unique_ptr<Linear>> Stack(const std::vector<HostMatrix>& parts,
                                                std::optional<Activation> act = std::nullopt) {
    return Make(parts, act, format_.quantization);
  }
  absl::StatusOr<std::unique_ptr<Linear>> Head(const HostMatrix& head) {
    return Make({head}, std::nullopt, format_.head());
  }
  absl::StatusOr<std::unique_ptr<Linear>> Make(const std::vector<HostMatrix>& parts, std::optional<Activation> act,
                                               Quantization quantization) {
    absl::StatusOr<std::unique_ptr<Linear>> linear = backend_.MakeLinear(parts, act, quantization);
    if (linear.ok()) bytes_ += (*linear)->bytes();
    rounded_.clear();
    return linear;
  }

  absl::StatusOr<NormWeights> Norm(const std::string& name) {
    const double offset = checkpoint_.config().norm_weight_offset;
    absl::StatusOr<Buffer> weight = Vector(name + ".weight", [offset](double x) { return x + offset; });
    if (!weight.ok()) return weight.status();
    absl::StatusOr<Buffer> bias = Vector(name + ".bias");
    if (!bias.ok()) return bias.status();
    return NormWeights{*std::move(weight), *std::move(bias)};
  }

  // One linear map a block; weights lie as [blocks, in, out], the bias as [D].
  absl::StatusOr<std::vector<std::unique_ptr<Linear>>> BlockDiagonal(const std::string& name) {
    const int64_t blocks = checkpoint_.config().qk_mixer_blocks;
    const int64_t size = checkpoint_.config().hidden_size / blocks;
    const Data weight = Read(name + ".weight");
    const Data bias = Read(name + ".bias");
    std::vector<std::unique_ptr<Linear>> result;
    for (int64_t b = 0; b < blocks; ++b) {
      const HostMatrix block = {
          .data = static_cast<const std::byte*>(weight.data) + b * size * size * SizeOf(weight.dtype),
          .dtype = weight.dtype,
          .out = size,
          .in = size,
          .transposed = true,
          .bias = static_cast<const std::byte*>(bias.data) + b * size * SizeOf(bias.dtype),
          .bias_dtype = bias.dtype};
      absl::StatusOr<std::unique_ptr<Linear>> linear = backend_.MakeLinear({block}, std::nullopt, Quantization::kNone);
      if (!linear.ok()) return linear.status();
      bytes_ += (*linear)->bytes();
      result.push_back(*std::move(linear));
    }
    rounded_.clear();
    return result;
  }

  int64_t parameters() const { return parameters_; }
  int64_t bytes() const { return bytes_; }

 private:
  const Checkpoint& checkpoint_;
  Backend& backend_;
  WeightFormat format_;
  std::deque<std::vector<std::byte>> rounded_;  // alive until the product that reads them is packed
  int64_t parameters_ = 0;
  int64_t bytes_ = 0;
};

// lhs = *expr, or return its error.
#define BARISTA_ASSIGN(lhs, expr)             \
  do {                                        \
    auto result = (expr);                     \
    if (!result.ok()) return result.status(); \
    lhs = *std::move(result);                 \
  } while (false)

absl::StatusOr<MixerWeights> LoadMixer(const ModelConfig& config, const std::string& prefix, Loader& loader) {
  MixerWeights mixer;
  if (HasConv(config.qk_mixer)) {
    BARISTA_ASSIGN(mixer.conv_weight, loader.Vector(prefix + "conv.weight"));
    BARISTA_ASSIGN(mixer.conv_bias, loader.Vector(prefix + "conv.bias"));
  }
  if (HasRglru(config.qk_mixer)) {
    BARISTA_ASSIGN(mixer.input_gate, loader.BlockDiagonal(prefix + "rglru.input_gate"));
    BARISTA_ASSIGN(mixer.a_gate, loader.BlockDiagonal(prefix + "rglru.a_gate"));
    const auto softplus = [](double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); };
    BARISTA_ASSIGN(mixer.softplus_a, loader.Vector(prefix + "rglru.a_param", softplus));
  }
  return mixer;
}

absl::Status LoadAttention(const ModelConfig& c, LayerType type, const std::string& prefix, Loader& loader,
                           LayerWeights& layer) {
  const int64_t D = c.hidden_size, H = c.num_attention_heads, G = c.num_key_value_heads, E = c.head_dim;
  const int64_t M = c.latents_per_head;
  const auto values = [&] { return loader.Matrix(prefix + "v_proj", G * E, D); };
  if (c.qk_mixer != QkMixer::kNone) BARISTA_ASSIGN(layer.values, loader.Stack({values()}));
  std::vector<HostMatrix> mixed;
  if (HasLatents(type)) {
    const int64_t local = type == LayerType::kMacchiato ? 1 : 0;
    mixed.push_back(loader.Matrix(prefix + "latent_query", H * (M + local), D));
    mixed.push_back(loader.Matrix(prefix + "latent_key", G * M, D));
  }
  if (HasSoftmaxAttention(type)) {
    mixed.push_back(loader.Matrix(prefix + "q_proj", H * E, D));
    mixed.push_back(loader.Matrix(prefix + "k_proj", G * E, D));
  }
  if (c.qk_mixer == QkMixer::kNone) mixed.push_back(values());
  BARISTA_ASSIGN(layer.from_mixed, loader.Stack(mixed));
  BARISTA_ASSIGN(layer.output, loader.Stack({loader.Matrix(prefix + "o_proj", D, H * E)}));
  return absl::OkStatus();
}

absl::Status LoadMlp(const ModelConfig& c, const std::string& prefix, Loader& loader, LayerWeights& layer) {
  const int64_t D = c.hidden_size, F = c.intermediate_size;
  if (c.block == BlockKind::kGlu) {
    BARISTA_ASSIGN(layer.mlp_in,
                   loader.Stack({loader.Matrix(prefix + "glu.value", D, D), loader.Matrix(prefix + "glu.gate", D, D)}));
    return absl::OkStatus();
  }
  std::vector<HostMatrix> in;
  if (c.mlp == MlpKind::kGated) in.push_back(loader.Matrix(prefix + "mlp.gate_proj", F, D));
  in.push_back(loader.Matrix(prefix + "mlp.up_proj", F, D));
  BARISTA_ASSIGN(layer.mlp_in, loader.Stack(in, c.hidden_act));
  BARISTA_ASSIGN(layer.mlp_out, loader.Stack({loader.Matrix(prefix + "mlp.down_proj", D, F)}));
  return absl::OkStatus();
}

absl::StatusOr<LayerWeights> LoadLayer(const ModelConfig& c, int64_t i, Loader& loader) {
  LayerWeights layer;
  const std::string prefix = LayerTensorName(i, "");
  BARISTA_ASSIGN(layer.mixer_norm, loader.Norm(prefix + "mixer_norm"));
  BARISTA_ASSIGN(layer.mixer_post_norm, loader.Norm(prefix + "mixer_post_norm"));
  BARISTA_ASSIGN(layer.mlp_norm, loader.Norm(prefix + "mlp_norm"));
  BARISTA_ASSIGN(layer.mlp_post_norm, loader.Norm(prefix + "mlp_post_norm"));
  BARISTA_ASSIGN(layer.mixer, LoadMixer(c, prefix + "mixer.qk_mixer.", loader));
  if (absl::Status s = LoadAttention(c, c.layer_types[i], prefix + "mixer.", loader, layer); !s.ok()) return s;
  if (absl::Status s = LoadMlp(c, prefix, loader, layer); !s.ok()) return s;
  return layer;
}

Loader::Data ReadTable(Loader& loader) { return loader.Read("model.embed_tokens.weight"); }

// What comes before and after the layers, but the head.
absl::StatusOr<Weights> LoadEnds(const Loader::Data& table, Loader& loader) {
  Weights weights;
  BARISTA_ASSIGN(weights.norm, loader.Norm("model.norm"));
  weights.dtype = weights.embedding_dtype = table.dtype;
  BARISTA_ASSIGN(weights.embedding, loader.ToDevice(table.data, table.count * SizeOf(table.dtype), "the embedding"));
  return weights;
}

}  // namespace

absl::StatusOr<Weights> LoadWeights(const Checkpoint& checkpoint, Backend& backend, const WeightFormat& format) {
  const ModelConfig& c = checkpoint.config();
  Loader loader(checkpoint, backend, format);
  std::vector<LayerWeights> layers;
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    absl::StatusOr<LayerWeights> layer = LoadLayer(c, i, loader);
    if (!layer.ok()) return layer.status();
    layers.push_back(*std::move(layer));
  }
  const Loader::Data table = ReadTable(loader);
  absl::StatusOr<Weights> weights = LoadEnds(table, loader);
  if (!weights.ok()) return weights;
  weights->layers = std::move(layers);
  HostMatrix head = {.data = table.data, .dtype = table.dtype, .out = c.vocab_size, .in = c.hidden_size};
  if (c.task == Task::kClassification) {
    head = loader.Matrix("score", c.num_labels, c.hidden_size);
  } else if (!c.tie_word_embeddings) {
    head = loader.Matrix("lm_head", c.vocab_size, c.hidden_size);
  }
  BARISTA_ASSIGN(weights->head, loader.Head(head));
  weights->parameters = loader.parameters();
  weights->bytes = loader.bytes();
  weights->quantization = format.quantization;
  return weights;
}

absl::StatusOr<Weights> LoadWeightsWithoutLayers(const Checkpoint& checkpoint, Backend& backend,
                                                 const WeightFormat& format) {
  Loader loader(checkpoint, backend, format);
  absl::StatusOr<Weights> weights = LoadEnds(ReadTable(loader), loader);
  if (weights.ok()) weights->layers.resize(checkpoint.config().num_hidden_layers);
  return weights;
}

absl::StatusOr<LayerWeights> LoadLayerWeights(const Checkpoint& checkpoint, Backend& backend,
                                              const WeightFormat& format, int64_t layer) {
  Loader loader(checkpoint, backend, format);
  return LoadLayer(checkpoint.config(), layer, loader);
}

}  // namespace barista
