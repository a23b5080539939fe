// Greedy streams run as the engine runs them, without the engine: one Forward, Logits and Sample a step, or a step that
// draws on the device.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "server/model/model.h"
#include "tests/bench/limits.h"

namespace barista::bench {

struct LoadedModel {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::unique_ptr<StatePool> pool;
};

// `weights`: a word of --weights_dtype. rows_max: of a step.
absl::StatusOr<LoadedModel> LoadModel(const std::string& directory, const std::string& weights,
                                      const BackendOptions& backend, int32_t slots,
                                      int64_t rows_max = ModelOptions().rows_max);

// `count` sessions on slots [first_slot, first_slot + count) of a loaded model, which outlives it.
class Streams {
 public:
  Streams(LoadedModel& loaded, int32_t first_slot, int32_t count);

  // Back to position 0.
  void Reset();
  // The first session reads `tokens` random tokens as a prompt, in pieces of rows_max as the engine cuts them, and
  // draws its next token; the others become copies of it.
  void Read(int64_t tokens);
  // Each decodes one token. more: another Step follows before anything else happens to the model, so that a device may
  // begin it already.
  void Step(bool more = false);
  // Takes steps back to back until there are `steps` of them or `seconds` have passed, and appends their seconds to
  // `taken`: those of every step; or, where a device goes on by itself, one value, the mean, which is the device's own
  // time a step as long as the host launches faster (launch_seconds). A step before and one behind are not counted.
  void Time(int64_t steps, double seconds, Clock clock, std::vector<double>& taken);

  int64_t position() const { return position_; }  // of all of them
  // Mean time in which the host launched a step that a device went on with by itself; 0: there was none.
  double launch_seconds() const { return launches_ == 0 ? 0 : launching_seconds_ / static_cast<double>(launches_); }

 private:
  bool Begin();  // a step; true: it draws
  void Sample(absl::Span<const int32_t> slots, absl::Span<int32_t> tokens);

  LoadedModel& loaded_;
  std::mt19937 random_;
  SamplingParams greedy_;
  int64_t position_ = 0;
  std::vector<int32_t> slots_, pending_, prompt_;
  std::vector<Segment> segments_;
  std::vector<SampleRow> rows_;
  std::vector<SampleResult> results_;
  bool ahead_ = false;  // the next step has begun
  int64_t launches_ = 0;
  double launching_seconds_ = 0;
};

}  // namespace barista::bench
