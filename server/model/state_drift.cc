#include "server/model/state_drift.h"

#include <time.h>

#include <cmath>
#include <limits>
#include <memory>

#include "absl/time/time.h"
#include "kernels/backend_ref.h"

namespace barista {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

double ThreadCpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// One array of a state.
class Values {
 public:
  Values(const StateLayout& layout, const std::string& state, int component)
      : array_(layout.components()[component]), data_(state.data() + array_.offset) {}
  double operator[](int64_t i) const { return LoadAsDouble(data_, array_.dtype, i); }
  int64_t size() const { return array_.count; }

 private:
  const StateComponent& array_;
  const char* data_;
};

bool IsFinite(const Values& values, bool empty_is_fine) {
  for (int64_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i]) && !(empty_is_fine && values[i] == -kInfinite)) return false;
  }
  return true;
}

// e^(from - to): what a sum in units of e^from is multiplied by in units of e^to; two empty sums are equal.
double Factor(double from, double to) { return from == to ? 1 : std::exp(from - to); }

// |served * factor - exact| / |exact|, where factor(i) is that of element i.
template <class F>
double Distance(const Values& served, const Values& exact, F factor) {
  double distance = 0, length = 0;
  for (int64_t i = 0; i < exact.size(); ++i) {
    const double difference = served[i] * factor(i) - exact[i];
    distance += difference * difference;
    length += exact[i] * exact[i];
  }
  if (distance == 0) return 0;
  const double ratio = std::sqrt(distance / length);
  return std::isfinite(ratio) ? ratio : kInfinite;
}

}  // namespace

StateDrift MeasureDrift(const StateLayout& served_layout, const std::string& served, const StateLayout& exact_layout,
                        const std::string& exact) {
  StateDrift drift;
  for (size_t c = 0; c < exact_layout.components().size(); ++c) {
    const StateComponent& array = exact_layout.components()[c];
    const Values ours(served_layout, served, static_cast<int>(c)), theirs(exact_layout, exact, static_cast<int>(c));
    const bool is_max = array.kind == StateKind::kLatentMax;
    const bool finite = IsFinite(ours, is_max);
    double ratio = finite ? 0 : kInfinite;
    if (array.kind == StateKind::kLatentAlpha || array.kind == StateKind::kLatentVtilde) {
      const int unit = exact_layout.find(array.layer, StateKind::kLatentMax);
      const Values our_max(served_layout, served, unit), their_max(exact_layout, exact, unit);
      const int64_t share = array.count / their_max.size();  // elements of one latent
      const auto factor = [&](int64_t i) { return Factor(our_max[i / share], their_max[i / share]); };
      if (finite) ratio = Distance(ours, theirs, factor);
    } else if (finite && !is_max) {
      ratio = Distance(ours, theirs, [](int64_t) { return 1.0; });
    }
    drift.finite = drift.finite && finite;
    if (!(ratio <= drift.ratio))
      drift = {.ratio = ratio, .finite = drift.finite, .layer = array.layer, .kind = array.kind};
  }
  return drift;
}

ModelOptions StateReplay::OptionsFor(const ModelOptions& served) {
  ModelOptions options = served;
  options.rows_max = kTokensMax;
  options.logits_rows_max = options.latent_rows_max = 0;
  return options;
}

StateReplay::StateReplay(const Checkpoint& checkpoint, const ModelOptions& served, const StateLayout& layout,
                         double cpu_share)
    : checkpoint_(checkpoint), options_(OptionsFor(served)), layout_(layout), cpu_share_(cpu_share) {}

int64_t StateReplay::Bytes(const Checkpoint& checkpoint, const ModelOptions& served) {
  return Model::LayerByLayerBytes(checkpoint, DType::kF64, OptionsFor(served));
}

absl::StatusOr<StateDrift> StateReplay::Run(absl::Span<const int32_t> tokens, const std::string& state) {
  const double begin = rested_at_ = ThreadCpuSeconds();
  const std::unique_ptr<Backend> exact = MakeRefBackend([this] { return GoOn(); });
  absl::StatusOr<std::unique_ptr<Model>> model = Model::LoadLayerByLayer(checkpoint_, *exact, options_);
  if (!model.ok()) return model.status();
  absl::StatusOr<StatePool> pool = StatePool::Create(*exact, (*model)->state_layout(), 1);
  if (!pool.ok()) return pool.status();
  pool->Init(0);
  const Segment all = {.rows = static_cast<int32_t>(tokens.size()), .prefill = true};
  const auto go_on = [this] { return GoOn(); };
  if (absl::Status s = (*model)->ForwardFrom(checkpoint_, go_on, {&all, 1}, tokens, *pool); !s.ok()) return s;
  StateDrift drift = MeasureDrift(layout_, state, (*model)->state_layout(), pool->Download(0));
  drift.cpu_seconds = ThreadCpuSeconds() - begin;
  return drift;
}

void StateReplay::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

bool StateReplay::GoOn() {
  constexpr double kAtOnce = 0.005;  // seconds of work between two rests, roughly
  const double worked = ThreadCpuSeconds() - rested_at_;
  absl::MutexLock lock(&mutex_);
  if (worked < kAtOnce || stopped_) return !stopped_;
  mutex_.AwaitWithTimeout(absl::Condition(&stopped_), absl::Seconds(worked * (1 / cpu_share_ - 1)));
  rested_at_ = ThreadCpuSeconds();
  return !stopped_;
}

}  // namespace barista
