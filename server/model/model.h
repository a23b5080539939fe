// A Latte-family model: tokens in, hidden rows and logits out, the past kept in slots of a StatePool.
//
// Const while serving except for its workspace, which one call at a time uses: the engine's thread owns it. Forward,
// Logits and Classify allocate nothing.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "server/model/checkpoint.h"
#include "server/model/latent_use.h"
#include "server/model/state.h"
#include "server/model/weights.h"

namespace barista {

struct ModelOptions {
  WeightFormat weights;
  int64_t rows_max = 512;  // tokens of one Forward, and of one Classify
  // What pays: a prompt's products fill a card with some thousand rows, a CPU with some hundred.
  static int64_t RowsFor(const Backend& backend) { return backend.queues() ? 2048 : 512; }
  int64_t logits_rows_max = 64;  // rows of one Logits call
  // The most of them that pay: where memory and time of a step are a card's, the head is read once for many rows.
  static int64_t LogitsRowsFor(const Backend& backend) { return backend.queues() ? 256 : 64; }
  int64_t latent_rows_max = 1;   // rows of one Forward whose use of the latents is measured
  int64_t max_positions = 4096;  // of full_attention layers
};

class Model {
 public:
  // The backend outlives the model. Errors: RESOURCE_EXHAUSTED naming what did not fit.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const Checkpoint& checkpoint, Backend& backend,
                                                     const ModelOptions& options);
  // Without the layers' weights and the head: for ForwardFrom alone. Peak of memory: LayerByLayerBytes.
  static absl::StatusOr<std::unique_ptr<Model>> LoadLayerByLayer(const Checkpoint& checkpoint, Backend& backend,
                                                                 const ModelOptions& options);
  // Of such a model on a backend with activations of `dtype` and linear layers of that type, one state beside it.
  static int64_t LayerByLayerBytes(const Checkpoint& checkpoint, DType dtype, const ModelOptions& options);

  const ModelConfig& config() const { return config_; }
  const StateLayout& state_layout() const { return layout_; }
  const Weights& weights() const { return weights_; }
  const ModelOptions& options() const { return options_; }
  int64_t workspace_bytes() const { return static_cast<int64_t>(memory_.size()) + reserved_bytes_; }
  Backend& backend() const { return backend_; }

  // Where the backend can record steps: records those of decodes alone, of up to as many rows as the pool has slots.
  // Before the first Forward; `pool` is then that of every Forward, and stays.
  void RecordDecodes(const StatePool& pool);

  // Runs `tokens` (row r belongs to the segment that covers row r; rows are covered exactly once, in order) through all
  // layers, advancing the slots' states in place, and leaves each segment's last hidden row in its slot.
  // tokens.size() <= rows_max; every token in [0, vocab). `sampled` rows, at most latent_rows_max of them: LatentUse
  // tells of them afterwards. draws: where every row is a decode whose next token is wanted, the rows' parameters.
  // True: the tokens are drawn, and TakeDraws has them; false: nothing is drawn (always, where such steps are not
  // recorded).
  bool Forward(Segments segments, absl::Span<const int32_t> tokens, const StatePool& pool,
               absl::Span<const int32_t> sampled = {}, absl::Span<const SampleRow> draws = {});
  // The same, a layer's weights being read from the checkpoint when it runs and dropped after it. `go_on` is asked
  // between layers. Errors: RESOURCE_EXHAUSTED; CANCELLED where it says no. The state is then worthless.
  absl::Status ForwardFrom(const Checkpoint& checkpoint, absl::FunctionRef<bool()> go_on, Segments segments,
                           absl::Span<const int32_t> tokens, const StatePool& pool);
  // Of the oldest Forward whose draws were not taken; waits for them.
  void TakeDraws(absl::Span<SampleResult> results) { backend_.TakeDraws(results); }
  // After a Forward that drew, as Backend's: the next one is launched before its tokens are known.
  bool Continue() { return backend_.ContinueStep(); }

  // How the sampled rows of the last Forward used the latents, for each of latent_layers(); nothing without such rows.
  std::vector<LatentUse> SampledLatentUse() const;
  // Layers with latents, ascending.
  const std::vector<int64_t>& latent_layers() const { return latent_layers_; }

  // Next-token logits [slots.size(), vocab] of the slots' last hidden rows; slots.size() <= logits_rows_max. The view
  // is valid until the next call.
  Rows Logits(absl::Span<const int32_t> slots, const StatePool& pool);
  // The same for rows [begin, begin + count) of the last Forward (scoring a given text).
  Rows LogitsOfRows(int64_t begin, int64_t count);

  // Class logits [num_labels] of one whole sequence, tokens.size() in [1, rows_max]; `sampled` as Forward's.
  // Classification models only.
  std::vector<double> Classify(absl::Span<const int32_t> tokens, absl::Span<const int32_t> sampled = {});

 private:
  Model(const ModelConfig& config, Backend& backend, const ModelOptions& options, Weights weights,
        const StateLayoutOptions& layout);
  static absl::StatusOr<std::unique_ptr<Model>> Make(const Checkpoint& checkpoint, Backend& backend,
                                                     const ModelOptions& options, Weights weights);
  // A matrix of the workspace.
  struct Part {
    Rows Model::*view;
    int64_t rows, cols;
  };
  static std::vector<Part> WorkspaceParts(const ModelConfig& config, const ModelOptions& options);
  absl::Status AllocateWorkspace();
  StepSizes LargestStep() const;

  absl::Span<const int64_t> PositionsOf(Segments segments, int64_t rows);
  // True: that was all.
  bool Begin(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const SampleRow> draws);
  void Layers(Segments segments, absl::Span<const int32_t> tokens, const StatePool& pool);
  void End(Segments segments, int64_t rows, const StatePool& pool);
  void KeepSampled(int64_t layer, const Rows& p);
  void Embed(absl::Span<const int32_t> tokens, int64_t rows);
  void Block(int64_t layer, Segments segments, int64_t rows, const StatePool& pool);
  // norm: of the residual stream, whose outcome x will be; null: x is there.
  void Attention(int64_t layer, Segments segments, const NormWeights* norm, const Rows& x, const Rows& out,
                 bool accumulate, const StatePool& pool);
  Rows Mix(int64_t layer, Segments segments, const NormWeights*& norm, const Rows& x, const StatePool& pool);
  void Mlp(int64_t layer, const NormWeights* norm, const Rows& x, const Rows& out, bool accumulate);
  void Multiply(const NormWeights* norm, int64_t rows, absl::Span<const LinearCall> calls);
  NormArgs ArgsOf(const NormWeights& norm, const Rows& x, const Rows& y) const;
  void Glu(int64_t layer, const Rows& x);
  void Norm(const NormWeights& norm, const Rows& x, const Rows& y);
  Rows Head(const Rows& hidden);

  ModelConfig config_;
  Backend& backend_;
  ModelOptions options_;
  Weights weights_;
  StateLayout layout_;
  std::optional<StatePool> scratch_state_;  // one slot for the mixers of a classifier

  int64_t reserved_bytes_ = 0;  // the backend's own workspace

  Buffer memory_;   // of all of the following, each [rows_max, its columns]
  Rows x_;          // the residual stream [D]; after Forward the normalised hidden rows
  Rows h_;          // normalised input of a sub-layer [D]
  Rows u_;          // the mixer's output [D]
  Rows gates_;      // RG-LRU gates before the sigmoid [2 D]
  Rows mixed_;      // latent query, latent key, q, k, (v)
  Rows v_;          // values [G E], where not part of mixed_
  Rows rotated_;    // values turned by -s (VAPOR) [G E]
  Rows y_;          // attention output [H E]
  Rows mlp_;        // [F] or, for GLU, [3 D]
  Rows out_;        // a sub-layer's output before its post norm (sandwich) [D]
  Rows last_;       // [logits_rows_max, D]
  Rows logits_;     // [logits_rows_max, vocab or num_labels]
  Rows sampled_p_;  // [latent layers * latent_rows_max, H * (M + 1)], p(l|t) of the sampled rows
  std::vector<int64_t> latent_layers_;
  absl::Span<const int32_t> sampled_;  // of the Forward under way
  int64_t sampled_rows_ = 0;           // of the last one
  std::vector<int64_t> positions_;
  const StatePool* recorded_ = nullptr;  // with whose slots decodes were recorded
  std::vector<LinearCall> calls_;        // of the product that Mix builds
};

}  // namespace barista
