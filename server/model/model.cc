#include "server/model/model.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "server/model/tensor_names.h"

namespace barista {

namespace {

constexpr int64_t kAlignment = 64;  // bytes, of each part of the workspace

int64_t Aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Whether column 0 of each head of p(l|t) is the window's.
int64_t LocalStates(LayerType type) { return type == LayerType::kMacchiato ? 1 : 0; }

// Outputs of the widest stack of a layer's products with the mixer's output (weights.h, from_mixed).
int64_t MixedColumns(const ModelConfig& c) {
  const int64_t H = c.num_attention_heads, G = c.num_key_value_heads, E = c.head_dim, M = c.latents_per_head;
  int64_t columns = 0;
  for (const LayerType type : c.layer_types) {
    const int64_t latents = HasLatents(type) ? H * (M + LocalStates(type)) + G * M : 0;
    const int64_t softmax = HasSoftmaxAttention(type) ? (H + G) * E : 0;
    columns = std::max(columns, latents + softmax + (c.qk_mixer == QkMixer::kNone ? G * E : 0));
  }
  return columns;
}

}  // namespace

Model::Model(const ModelConfig& config, Backend& backend, const ModelOptions& options, Weights weights,
             const StateLayoutOptions& layout)
    : config_(config), backend_(backend), options_(options), weights_(std::move(weights)), layout_(config, layout) {
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    if (HasLatents(config.layer_types[i])) latent_layers_.push_back(i);
  }
}

absl::StatusOr<std::unique_ptr<Model>> Model::Make(const Checkpoint& checkpoint, Backend& backend,
                                                   const ModelOptions& options, Weights weights) {
  const StateLayoutOptions layout = {.state_dtype = backend.activation_dtype(),
                                     .ring_dtype = backend.ring_dtype(weights.dtype),
                                     .max_positions = options.max_positions};
  std::unique_ptr<Model> model(new Model(checkpoint.config(), backend, options, std::move(weights), layout));
  const absl::StatusOr<int64_t> reserved = backend.Reserve(model->LargestStep());
  if (!reserved.ok()) return reserved.status();
  model->reserved_bytes_ = *reserved;
  if (absl::Status status = model->AllocateWorkspace(); !status.ok()) return status;
  return model;
}

StepSizes Model::LargestStep() const {
  const bool turns = config_.value_position == ValuePosition::kVapor || config_.local_position == LocalPosition::kRope;
  return {.rows = options_.rows_max,
          .logits_rows = options_.logits_rows_max,
          .vocab = weights_.head == nullptr ? 0 : weights_.head->out(),
          .kv_heads = config_.num_key_value_heads,
          .latents = config_.latents_per_head,
          .head_dim = config_.head_dim,
          .recurrent = HasRglru(config_.qk_mixer) ? config_.hidden_size : 0,
          .theta = turns ? config_.rope_theta : 0};
}

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const Checkpoint& checkpoint, Backend& backend,
                                                   const ModelOptions& options) {
  absl::StatusOr<Weights> weights = LoadWeights(checkpoint, backend, options.weights);
  if (!weights.ok()) return weights.status();
  return Make(checkpoint, backend, options, *std::move(weights));
}

absl::StatusOr<std::unique_ptr<Model>> Model::LoadLayerByLayer(const Checkpoint& checkpoint, Backend& backend,
                                                               const ModelOptions& options) {
  absl::StatusOr<Weights> weights = LoadWeightsWithoutLayers(checkpoint, backend, options.weights);
  if (!weights.ok()) return weights.status();
  ModelOptions without_head = options;
  without_head.logits_rows_max = 0;
  return Make(checkpoint, backend, without_head, *std::move(weights));
}

int64_t Model::LayerByLayerBytes(const Checkpoint& checkpoint, DType dtype, const ModelOptions& options) {
  const ModelConfig& config = checkpoint.config();
  const int64_t element = static_cast<int64_t>(SizeOf(dtype));
  const auto count = [&checkpoint](const std::string& name) {
    const HostTensor* tensor = checkpoint.find(name);
    return tensor == nullptr ? 0 : static_cast<int64_t>(tensor->bytes.size() / SizeOf(tensor->dtype));
  };
  int64_t layer_max = 0, bytes = 0;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string prefix = LayerTensorName(i, "");
    int64_t layer = 0;
    for (const TensorSpec& spec : ExpectedTensors(config)) {
      if (absl::StartsWith(spec.name, prefix)) layer += count(spec.name);
    }
    layer_max = std::max(layer_max, layer);
  }
  for (const Part& part : WorkspaceParts(config, options)) bytes += Aligned(part.rows * part.cols * element);
  const HostTensor& table = *checkpoint.find("model.embed_tokens.weight");
  const DType table_dtype = options.weights.dtype.value_or(table.dtype);
  bytes += count("model.embed_tokens.weight") * static_cast<int64_t>(SizeOf(table_dtype)) + layer_max * element;
  return bytes + StateLayout(config, {dtype, dtype, options.max_positions}).slot_bytes();
}

std::vector<Model::Part> Model::WorkspaceParts(const ModelConfig& c, const ModelOptions& options) {
  const int64_t D = c.hidden_size, HE = c.num_attention_heads * c.head_dim, GE = c.num_key_value_heads * c.head_dim;
  const int64_t rows = options.rows_max, logits_rows = options.logits_rows_max;
  const int64_t mlp = c.block == BlockKind::kGlu ? 3 * D : c.intermediate_size;
  const int64_t latent_layers = std::count_if(c.layer_types.begin(), c.layer_types.end(), HasLatents);
  return {
      {&Model::x_, rows, D},
      {&Model::h_, rows, D},
      {&Model::u_, rows, D},
      {&Model::gates_, rows, 2 * D},
      {&Model::mixed_, rows, MixedColumns(c)},
      {&Model::v_, rows, GE},
      {&Model::rotated_, rows, GE},
      {&Model::y_, rows, HE},
      {&Model::mlp_, rows, mlp},
      {&Model::out_, rows, D},
      {&Model::last_, logits_rows, D},
      {&Model::logits_, logits_rows, c.task == Task::kClassification ? c.num_labels : c.vocab_size},
      {&Model::sampled_p_, latent_layers * options.latent_rows_max, c.num_attention_heads * (c.latents_per_head + 1)}};
}

absl::Status Model::AllocateWorkspace() {
  const std::vector<Part> parts = WorkspaceParts(config_, options_);
  const DType dtype = backend_.activation_dtype();
  const auto bytes = [dtype](const Part& p) { return Aligned(p.rows * p.cols * static_cast<int64_t>(SizeOf(dtype))); };
  int64_t total = 0;
  for (const Part& part : parts) total += bytes(part);
  absl::StatusOr<Buffer> memory = backend_.Allocate(total, "the model's workspace");
  if (!memory.ok()) return memory.status();
  memory_ = *std::move(memory);
  backend_.Fill(memory_.data(), dtype, total / SizeOf(dtype), 0);  // its pages come now, not in the first long prompts
  int64_t offset = 0;
  for (const Part& part : parts) {
    this->*part.view = {memory_.data() + offset, dtype, part.rows, part.cols, part.cols};
    offset += bytes(part);
  }
  positions_.resize(options_.rows_max);
  calls_.reserve(2 * config_.qk_mixer_blocks + 1);
  if (config_.task == Task::kClassification) {
    absl::StatusOr<StatePool> pool = StatePool::Create(backend_, layout_, 1);
    if (!pool.ok()) return pool.status();
    scratch_state_ = *std::move(pool);
  }
  return absl::OkStatus();
}

void Model::RecordDecodes(const StatePool& pool) {
  if (config_.task == Task::kClassification) return;  // it reads whole texts
  const int64_t rows_max = options_.rows_max, wanted = std::min<int64_t>(pool.slots(), rows_max);
  std::vector<Segment> segments;
  const std::vector<int32_t> tokens(rows_max, 0);
  for (int64_t rows = 1, recorded = 0; recorded < wanted && rows <= rows_max; ++rows) {
    segments.push_back({.slot = 0, .row = static_cast<int32_t>(rows - 1), .rows = 1});
    const absl::Span<const int32_t> step = absl::MakeConstSpan(tokens).first(rows);
    if (!backend_.BeginRecording(segments, step, PositionsOf(segments, rows))) continue;
    Layers(segments, step, pool);
    for (int64_t first = 0; first < rows; first += options_.logits_rows_max) {
      backend_.Draw(LogitsOfRows(first, std::min(options_.logits_rows_max, rows - first)), first);
    }
    backend_.EndRecording();
    recorded = rows;
    recorded_ = &pool;
  }
}

bool Model::Forward(Segments segments, absl::Span<const int32_t> tokens, const StatePool& pool,
                    absl::Span<const int32_t> sampled, absl::Span<const SampleRow> draws) {
  sampled_ = sampled;
  sampled_rows_ = static_cast<int64_t>(sampled.size());
  if (recorded_ != &pool || !sampled.empty()) draws = {};
  const bool drawn = Begin(segments, tokens, draws);
  if (!drawn) Layers(segments, tokens, pool);
  sampled_ = {};
  return drawn;
}

void Model::Layers(Segments segments, absl::Span<const int32_t> tokens, const StatePool& pool) {
  const int64_t rows = static_cast<int64_t>(tokens.size());
  Embed(tokens, rows);
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) Block(layer, segments, rows, pool);
  End(segments, rows, pool);
}

absl::Status Model::ForwardFrom(const Checkpoint& checkpoint, absl::FunctionRef<bool()> go_on, Segments segments,
                                absl::Span<const int32_t> tokens, const StatePool& pool) {
  const int64_t rows = static_cast<int64_t>(tokens.size());
  Begin(segments, tokens, {});
  Embed(tokens, rows);
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    if (!go_on()) return absl::CancelledError("told to stop");
    absl::StatusOr<LayerWeights> weights = LoadLayerWeights(checkpoint, backend_, options_.weights, layer);
    if (!weights.ok()) return weights.status();
    weights_.layers[layer] = *std::move(weights);
    Block(layer, segments, rows, pool);
    weights_.layers[layer] = LayerWeights();
  }
  End(segments, rows, pool);
  return go_on() ? absl::OkStatus() : absl::CancelledError("told to stop");
}

absl::Span<const int64_t> Model::PositionsOf(Segments segments, int64_t rows) {
  for (const Segment& s : segments) {
    for (int64_t i = 0; i < s.rows; ++i) positions_[s.row + i] = s.position + i;
  }
  return absl::MakeConstSpan(positions_).first(rows);
}

bool Model::Begin(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const SampleRow> draws) {
  return backend_.BeginStep(segments, tokens, PositionsOf(segments, static_cast<int64_t>(tokens.size())), draws);
}

void Model::End(Segments segments, int64_t rows, const StatePool& pool) {
  const Rows x = x_.Slice(0, rows);
  Norm(weights_.norm, x, x);
  if (config_.task == Task::kClassification) return;
  backend_.KeepLastRows({.segments = segments, .x = x, .to = pool.array(-1, StateKind::kLastHidden)});
}

// p of the layer's sampled rows, aside: on the device, for nothing may wait for it in the middle of a step.
void Model::KeepSampled(int64_t layer, const Rows& p) {
  if (sampled_.empty()) return;
  const auto place = std::lower_bound(latent_layers_.begin(), latent_layers_.end(), layer) - latent_layers_.begin();
  const int64_t bytes = p.cols * static_cast<int64_t>(SizeOf(p.dtype));
  for (int64_t i = 0; i < sampled_rows_; ++i) {
    backend_.Copy(sampled_p_.Slice(place * options_.latent_rows_max + i, 1).data, p.Slice(sampled_[i], 1).data, bytes);
  }
}

std::vector<LatentUse> Model::SampledLatentUse() const {
  std::vector<LatentUse> uses;
  if (sampled_rows_ == 0) return uses;
  const int64_t row_bytes = sampled_p_.stride * static_cast<int64_t>(SizeOf(sampled_p_.dtype));
  std::vector<std::byte> host(sampled_rows_ * row_bytes);
  for (size_t i = 0; i < latent_layers_.size(); ++i) {
    const int64_t local = LocalStates(config_.layer_types[latent_layers_[i]]);
    const Rows device = sampled_p_.Slice(static_cast<int64_t>(i) * options_.latent_rows_max, sampled_rows_);
    backend_.Download(host.data(), device.data, host.size());
    Rows p = device;
    p.data = host.data();
    const int64_t states = config_.latents_per_head + local;
    uses.push_back(MeasureLatentUse(p.Columns(0, config_.num_attention_heads * states), states, local == 1));
  }
  return uses;
}

void Model::Embed(absl::Span<const int32_t> tokens, int64_t rows) {
  backend_.Embed({.tokens = tokens,
                  .positions = absl::MakeConstSpan(positions_).first(rows),
                  .table = weights_.embedding.data(),
                  .table_dtype = weights_.embedding_dtype,
                  .scale = config_.embedding_scale,
                  .sinusoidal = config_.position_embedding == PositionEmbedding::kSinusoidal,
                  .x = x_.Slice(0, rows)});
}

NormArgs Model::ArgsOf(const NormWeights& norm, const Rows& x, const Rows& y) const {
  return {.kind = config_.norm,
          .eps = config_.norm_eps,
          .weight = norm.weight.data(),
          .bias = norm.bias.size() == 0 ? nullptr : norm.bias.data(),
          .x = x,
          .y = y};
}

void Model::Norm(const NormWeights& norm, const Rows& x, const Rows& y) {
  if (norm.weight.size() == 0) return;  // only model.norm may be absent, and there y is x
  backend_.Norm(ArgsOf(norm, x, y));
}

void Model::Multiply(const NormWeights* norm, int64_t rows, absl::Span<const LinearCall> calls) {
  if (norm == nullptr) return backend_.Multiply(calls);
  backend_.NormMultiply(ArgsOf(*norm, x_.Slice(0, rows), h_.Slice(0, rows)), calls);
}

// pre: x + f(norm(x));  post: norm(x + f(x));  sandwich: x + post_norm(f(norm(x))).
void Model::Block(int64_t layer, Segments segments, int64_t rows, const StatePool& pool) {
  const LayerWeights& w = weights_.layers[layer];
  const Rows x = x_.Slice(0, rows), h = h_.Slice(0, rows), out = out_.Slice(0, rows);
  const bool post = config_.norm_placement == NormPlacement::kPost;
  const bool sandwich = config_.norm_placement == NormPlacement::kSandwich;
  const bool glu = config_.block == BlockKind::kGlu;

  Attention(layer, segments, post ? nullptr : &w.mixer_norm, post ? x : h, sandwich ? out : x, !sandwich, pool);
  if (sandwich) {
    Norm(w.mixer_post_norm, out, out);
    backend_.Add({.x = x, .y = out});
  }
  if (glu) {
    Glu(layer, x);
    if (post) Norm(w.mixer_norm, x, x);
    return;
  }
  if (post) Norm(w.mixer_norm, x, x);
  Mlp(layer, post ? nullptr : &w.mlp_norm, post ? x : h, sandwich ? out : x, !sandwich);
  if (sandwich) {
    Norm(w.mlp_post_norm, out, out);
    backend_.Add({.x = x, .y = out});
  }
  if (post) Norm(w.mlp_norm, x, x);
}

void Model::Mlp(int64_t layer, const NormWeights* norm, const Rows& x, const Rows& out, bool accumulate) {
  const LayerWeights& w = weights_.layers[layer];
  const Rows y = mlp_.Slice(0, x.rows);
  Multiply(norm, x.rows, {{.weight = w.mlp_in.get(), .x = x, .y = y, .for_products = true}});
  backend_.Multiply({{.weight = w.mlp_out.get(), .x = y, .y = out, .accumulate = accumulate}});
}

void Model::Glu(int64_t layer, const Rows& x) {
  const int64_t D = config_.hidden_size;
  const Rows work = mlp_.Slice(0, x.rows);
  const Rows g = work.Columns(2 * D, D);
  backend_.Gelu({.x = x, .y = g});
  backend_.Multiply({{.weight = weights_.layers[layer].mlp_in.get(), .x = g, .y = work.Columns(0, 2 * D)}});
  backend_.Glu({.value = work.Columns(0, D), .gate = work.Columns(D, D), .x = x});
}

Rows Model::Logits(absl::Span<const int32_t> slots, const StatePool& pool) {
  const Rows last = last_.Slice(0, static_cast<int64_t>(slots.size()));
  backend_.LoadSlotRows({.slots = slots, .from = pool.array(-1, StateKind::kLastHidden), .x = last});
  return Head(last);
}

Rows Model::LogitsOfRows(int64_t begin, int64_t count) { return Head(x_.Slice(begin, count)); }

Rows Model::Head(const Rows& hidden) {
  const Rows logits = logits_.Slice(0, hidden.rows);
  backend_.Multiply({{.weight = weights_.head.get(), .x = hidden, .y = logits}});
  if (config_.final_softcap > 0) backend_.Softcap({.cap = config_.final_softcap, .x = logits});
  return logits;
}

std::vector<double> Model::Classify(absl::Span<const int32_t> tokens, absl::Span<const int32_t> sampled) {
  const int64_t rows = static_cast<int64_t>(tokens.size());
  const Segment whole = {.slot = 0, .row = 0, .rows = static_cast<int32_t>(rows), .position = 0, .prefill = true};
  scratch_state_->Init(0);
  Forward({&whole, 1}, tokens, *scratch_state_, sampled);
  // The pooled row is computed on the host in double: one row a request.
  const int64_t D = config_.hidden_size;
  const size_t size = SizeOf(x_.dtype);
  const int64_t first = config_.pool == Pool::kMean ? 0 : rows - 1;
  std::vector<std::byte> row(D * size);
  std::vector<double> pooled(D, 0.0);
  for (int64_t r = first; r < rows; ++r) {
    backend_.Download(row.data(), x_.Slice(r, 1).data, row.size());
    for (int64_t d = 0; d < D; ++d) pooled[d] += LoadAsDouble(row.data(), x_.dtype, d);
  }
  for (int64_t d = 0; d < D; ++d) {
    const double mean = pooled[d] / static_cast<double>(rows - first);
    if (x_.dtype == DType::kF64) reinterpret_cast<double*>(row.data())[d] = mean;
    if (x_.dtype == DType::kF32) reinterpret_cast<float*>(row.data())[d] = static_cast<float>(mean);
  }
  backend_.Upload(last_.data, row.data(), row.size());
  const Rows logits = Head(last_.Slice(0, 1));
  std::vector<std::byte> host(logits.cols * size);
  backend_.Download(host.data(), logits.data, host.size());
  std::vector<double> result(logits.cols);
  for (int64_t i = 0; i < logits.cols; ++i) result[i] = LoadAsDouble(host.data(), logits.dtype, i);
  return result;
}

}  // namespace barista
