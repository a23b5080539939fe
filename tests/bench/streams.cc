#include "tests/bench/streams.h"

#include <algorithm>
#include <numeric>

#include "server/model/checkpoint.h"

namespace barista::bench {

absl::StatusOr<LoadedModel> LoadModel(const std::string& directory, const std::string& weights,
                                      const BackendOptions& backend, int32_t slots, int64_t rows_max) {
  absl::StatusOr<std::unique_ptr<Checkpoint>> checkpoint = Checkpoint::Open(directory);
  if (!checkpoint.ok()) return checkpoint.status();
  ModelOptions options;
  const std::optional<WeightFormat> format = WeightFormatNamed(weights);
  if (!format) return absl::InvalidArgumentError("weights are one of auto, f32, bf16, f16, int8, int4, not " + weights);
  options.weights = *format;
  LoadedModel loaded;
  absl::StatusOr<std::unique_ptr<Backend>> made = MakeBackend(backend);
  if (!made.ok()) return made.status();
  loaded.backend = *std::move(made);
  options.rows_max = rows_max;
  options.logits_rows_max = ModelOptions::LogitsRowsFor(*loaded.backend);
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Load(**checkpoint, *loaded.backend, options);
  if (!model.ok()) return model.status();
  loaded.model = *std::move(model);
  absl::StatusOr<StatePool> pool = StatePool::Create(*loaded.backend, loaded.model->state_layout(), slots);
  if (!pool.ok()) return pool.status();
  loaded.pool = std::make_unique<StatePool>(*std::move(pool));
  loaded.model->RecordDecodes(*loaded.pool);
  return loaded;
}

Streams::Streams(LoadedModel& loaded, int32_t first_slot, int32_t count)
    : loaded_(loaded), random_(first_slot), slots_(count), pending_(count), segments_(count), results_(count) {
  std::iota(slots_.begin(), slots_.end(), first_slot);
  greedy_.temperature = 0;
  rows_.assign(count, {.params = &greedy_, .draws_left = int64_t{1} << 40});
  prompt_.reserve(loaded.model->options().rows_max);
  Reset();
}

void Streams::Reset() {
  for (const int32_t slot : slots_) loaded_.pool->Init(slot);
  position_ = 0;
}

void Streams::Read(int64_t tokens) {
  const int64_t rows_max = loaded_.model->options().rows_max, vocab = loaded_.model->config().vocab_size;
  for (const int64_t end = position_ + tokens; position_ < end;) {
    int64_t rows = std::min(rows_max, end - position_);
    if (position_ + rows < end) rows -= (position_ + rows) % kChunk;  // cut where the scheduler would
    prompt_.resize(rows);
    for (int32_t& token : prompt_) token = static_cast<int32_t>(random_() % vocab);
    const Segment segment = {
        .slot = slots_[0], .rows = static_cast<int32_t>(rows), .position = position_, .prefill = true};
    loaded_.model->Forward({&segment, 1}, prompt_, *loaded_.pool);
    position_ += rows;
  }
  Sample({&slots_[0], 1}, {&pending_[0], 1});
  for (size_t i = 1; i < slots_.size(); ++i) {
    loaded_.pool->Copy(slots_[i], slots_[0]);
    pending_[i] = pending_[0];
  }
}

void Streams::Step(bool more) {
  bool drawn = ahead_;
  if (!ahead_) drawn = Begin();
  if (drawn) {
    const double begin = Now();
    ahead_ = more && loaded_.model->Continue();
    if (ahead_) {
      ++launches_;
      launching_seconds_ += Now() - begin;
    }
    loaded_.model->TakeDraws(absl::MakeSpan(results_));
    for (size_t i = 0; i < slots_.size(); ++i) pending_[i] = results_[i].token;
  } else {
    const size_t tile = static_cast<size_t>(loaded_.model->options().logits_rows_max);
    for (size_t done = 0; done < slots_.size(); done += tile) {
      const size_t count = std::min(tile, slots_.size() - done);
      Sample(absl::MakeConstSpan(slots_).subspan(done, count), absl::MakeSpan(pending_).subspan(done, count));
    }
  }
  ++position_;
}

void Streams::Time(int64_t steps, double seconds, Clock clock, std::vector<double>& taken) {
  Step(true);
  const double begin = clock();
  double last = begin;
  int64_t done = 0;
  for (; done < steps && last < begin + seconds; ++done) {
    Step(true);
    const double now = clock();
    if (!ahead_) taken.push_back(now - last);
    last = now;
  }
  if (ahead_) taken.push_back((last - begin) / static_cast<double>(done));
  Step();
}

bool Streams::Begin() {
  for (size_t i = 0; i < slots_.size(); ++i) {
    segments_[i] = {.slot = slots_[i], .row = static_cast<int32_t>(i), .rows = 1, .position = position_};
  }
  return loaded_.model->Forward(segments_, pending_, *loaded_.pool, {}, rows_);
}

void Streams::Sample(absl::Span<const int32_t> slots, absl::Span<int32_t> tokens) {
  const Rows logits = loaded_.model->Logits(slots, *loaded_.pool);
  const auto results = absl::MakeSpan(results_).first(slots.size());
  loaded_.model->backend().Sample(logits, absl::MakeConstSpan(rows_).first(slots.size()), results);
  for (size_t i = 0; i < slots.size(); ++i) tokens[i] = results[i].token;
}

}  // namespace barista::bench
