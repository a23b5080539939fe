#include "server/model/model.h"

#include <algorithm>

namespace barista {

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const Checkpoint& checkpoint, Backend& backend,
                                                   const ModelOptions& options) {
  absl::StatusOr<Weights> weights = LoadWeights(checkpoint, backend, options.weights_dtype);
  if (!weights.ok()) return weights.status();
  const StateLayoutOptions layout = {.state_dtype = backend.activation_dtype(),
                                     .ring_dtype = backend.ring_dtype(weights->dtype),
                                     .max_positions = options.max_positions};
  std::unique_ptr<Model> model(new Model(checkpoint.config(), backend, options, *std::move(weights), layout));
  const ModelConfig& c = model->config_;
  const StepSizes sizes = {.rows = options.rows_max,
                           .logits_rows = options.logits_rows_max,
                           .vocab = model->weights_.head->out(),
                           .kv_heads = c.num_key_value_heads,
                           .latents = c.latents_per_head,
                           .head_dim = c.head_dim};
  if (absl::Status status = backend.Reserve(sizes); !status.ok()) return status;
  if (absl::Status status = model->AllocateWorkspace(); !status.ok()) return status;
  return model;
}

int64_t Model::MixedColumns() const {
  int64_t columns = 0;
  for (const LayerWeights& layer : weights_.layers) columns = std::max(columns, layer.from_mixed->out());
  return columns;
}

absl::Status Model::AllocateWorkspace() {
  const ModelConfig& c = config_;
  const int64_t D = c.hidden_size, HE = c.num_attention_heads * c.head_dim, GE = c.num_key_value_heads * c.head_dim;
  const int64_t rows = options_.rows_max, logits_rows = options_.logits_rows_max;
  const int64_t mlp = c.block == BlockKind::kGlu ? 3 * D : c.intermediate_size;
  struct Part {
    Rows* view;
    int64_t rows, cols;
  };
  const Part parts[] = {{&x_, rows, D},
                        {&h_, rows, D},
                        {&u_, rows, D},
                        {&gates_, rows, 2 * D},
                        {&mixed_, rows, MixedColumns()},
                        {&v_, rows, GE},
                        {&rotated_, rows, GE},
                        {&y_, rows, HE},
                        {&mlp_, rows, mlp},
                        {&out_, rows, D},
                        {&last_, logits_rows, D},
                        {&logits_, logits_rows, weights_.head->out()}};
  const DType dtype = backend_.activation_dtype();
  const auto bytes = [dtype](const Part& p) {
    return (p.rows * p.cols * static_cast<int64_t>(SizeOf(dtype)) + 63) / 64 * 64;
  };
  int64_t total = 0;
  for (const Part& part : parts) total += bytes(part);
  absl::StatusOr<Buffer> memory = backend_.Allocate(total, "the model's workspace");
  if (!memory.ok()) return memory.status();
  memory_ = *std::move(memory);
  backend_.Fill(memory_.data(), dtype, total / SizeOf(dtype), 0);  // its pages come now, not in the first long prompts
  int64_t offset = 0;
  for (const Part& part : parts) {
    *part.view = {memory_.data() + offset, dtype, part.rows, part.cols, part.cols};
    offset += bytes(part);
  }
  positions_.resize(rows);
  calls_.reserve(2 * c.qk_mixer_blocks + 1);
  if (c.task == Task::kClassification) {
    absl::StatusOr<StatePool> pool = StatePool::Create(backend_, layout_, 1);
    if (!pool.ok()) return pool.status();
    scratch_state_ = *std::move(pool);
  }
  return absl::OkStatus();
}

void Model::Forward(Segments segments, absl::Span<const int32_t> tokens, const StatePool& pool) {
  const int64_t rows = static_cast<int64_t>(tokens.size());
  for (const Segment& s : segments) {
    for (int64_t i = 0; i < s.rows; ++i) positions_[s.row + i] = s.position + i;
  }
  backend_.BeginStep(segments, tokens, absl::MakeConstSpan(positions_).first(rows));
  Embed(tokens, rows);
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) Block(layer, segments, rows, pool);
  const Rows x = x_.Slice(0, rows);
  Norm(weights_.norm, x, x);
  if (config_.task == Task::kClassification) return;
  backend_.KeepLastRows({.segments = segments, .x = x, .to = pool.array(-1, StateKind::kLastHidden)});
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

void Model::Norm(const NormWeights& norm, const Rows& x, const Rows& y) {
  if (norm.weight.size() == 0) return;  // only model.norm may be absent, and there y is x
  backend_.Norm({.kind = config_.norm,
                 .eps = config_.norm_eps,
                 .weight = norm.weight.data(),
                 .bias = norm.bias.size() == 0 ? nullptr : norm.bias.data(),
                 .x = x,
                 .y = y});
}

// pre: x + f(norm(x));  post: norm(x + f(x));  sandwich: x + post_norm(f(norm(x))).
void Model::Block(int64_t layer, Segments segments, int64_t rows, const StatePool& pool) {
  const LayerWeights& w = weights_.layers[layer];
  const Rows x = x_.Slice(0, rows), h = h_.Slice(0, rows), out = out_.Slice(0, rows);
  const bool post = config_.norm_placement == NormPlacement::kPost;
  const bool sandwich = config_.norm_placement == NormPlacement::kSandwich;
  const bool glu = config_.block == BlockKind::kGlu;

  if (!post) Norm(w.mixer_norm, x, h);
  Attention(layer, segments, post ? x : h, sandwich ? out : x, !sandwich, pool);
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
  if (!post) Norm(w.mlp_norm, x, h);
  Mlp(layer, post ? x : h, sandwich ? out : x, !sandwich);
  if (sandwich) {
    Norm(w.mlp_post_norm, out, out);
    backend_.Add({.x = x, .y = out});
  }
  if (post) Norm(w.mlp_norm, x, x);
}

void Model::Mlp(int64_t layer, const Rows& x, const Rows& out, bool accumulate) {
  const LayerWeights& w = weights_.layers[layer];
  const Rows y = mlp_.Slice(0, x.rows);
  backend_.Multiply({{.weight = w.mlp_in.get(), .x = x, .y = y}});
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

std::vector<double> Model::Classify(absl::Span<const int32_t> tokens) {
  const int64_t rows = static_cast<int64_t>(tokens.size());
  const Segment whole = {.slot = 0, .row = 0, .rows = static_cast<int32_t>(rows), .position = 0, .prefill = true};
  scratch_state_->Init(0);
  Forward({&whole, 1}, tokens, *scratch_state_);
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
