#include "tests/bench/shadow_backend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace barista::bench {
namespace {

// A matrix of doubles with the values of a float one.
struct DoubleRows {
  explicit DoubleRows(const Rows& from) : data(from.rows * from.cols), rows(from.rows), cols(from.cols) {
    for (int64_t r = 0; r < rows; ++r) std::copy_n(from.row<float>(r), cols, &data[r * cols]);
  }
  Rows view() { return {data.data(), DType::kF64, rows, cols, cols}; }
  std::vector<double> data;
  int64_t rows, cols;
};

// A state of one slot: every id finds it.
SlotArray OneSlot(std::vector<double>& values) { return {reinterpret_cast<std::byte*>(values.data()), DType::kF64, 0}; }

Segment FromRowZero(const Segment& s) {
  Segment result = s;
  result.row = 0;
  return result;
}

double RelativeDistance(const double* a, const double* b, int64_t n) {
  double distance = 0, length = 0;
  for (int64_t i = 0; i < n; ++i) {
    distance += (a[i] - b[i]) * (a[i] - b[i]);
    length += b[i] * b[i];
  }
  return length == 0 ? 0 : std::sqrt(distance / length);
}

}  // namespace

void Error::Add(double error) {
  largest = std::max(largest, error);
  squares += error * error;
  ++count;
}

double Error::rms() const { return count == 0 ? 0 : std::sqrt(squares / static_cast<double>(count)); }

void ShadowBackend::RunDouble(LatteLayer& layer, const LatteArgs& args, std::vector<double>& y) {
  const Segment segment = FromRowZero(args.segments[0]);
  DoubleRows p(args.p), k(args.k), v(args.v);
  y.resize(args.k.rows * args.heads * args.head_dim);
  LatteArgs shadow = args;
  shadow.segments = {&segment, 1};
  shadow.p = p.view();
  shadow.k = k.view();
  shadow.v = v.view();
  shadow.y = {y.data(), DType::kF64, args.k.rows, args.heads * args.head_dim, args.heads * args.head_dim};
  shadow.max = OneSlot(layer.max);
  shadow.alpha = OneSlot(layer.alpha);
  shadow.vtilde = OneSlot(layer.vtilde);
  LatteRef<double>(shadow);
}

void ShadowBackend::Latte(const LatteArgs& args) {
  inner_.Latte(args);
  const int64_t latents = args.kv_heads * args.latents, width = args.heads * args.head_dim;
  LatteLayer& layer = latte_[args.max.base];
  if (args.segments[0].position == 0) {
    layer.shape = args;
    layer.max.assign(latents, -std::numeric_limits<double>::infinity());
    layer.alpha.assign(latents, 0);
    layer.vtilde.assign(latents * args.head_dim, 0);
    layer.sums.clear();
    for (const Carry carry : carries_) layer.sums.emplace_back(carry, args.kv_heads, args.latents, args.head_dim);
  }
  std::vector<double> expected;
  RunDouble(layer, args, expected);
  const DoubleRows y(args.y);
  for (int64_t r = 0; r < y.rows; ++r) y_.Add(RelativeDistance(&y.data[r * width], &expected[r * width], width));
  for (LatteSums& sums : layer.sums) sums.Add(args);
  if (recording_) RecordRows(layer, args);
}

void ShadowBackend::Rglru(const RglruArgs& args) {
  const Segment segment = FromRowZero(args.segments[0]);
  DoubleRows x(args.x), input_gate(args.input_gate), a_gate(args.a_gate);  // y may be x: before it is overwritten
  inner_.Rglru(args);
  RglruLayer& layer = rglru_[args.h.base];
  if (segment.position == 0) {
    layer.watched = args.h.slot<float>(segment.slot);
    layer.h.assign(args.x.cols, 0);
    const float* softplus_a = static_cast<const float*>(args.softplus_a);
    layer.softplus_a.assign(softplus_a, softplus_a + args.x.cols);
  }
  RglruRef<double>({.segments = {&segment, 1},
                    .softplus_a = layer.softplus_a.data(),
                    .x = x.view(),
                    .input_gate = input_gate.view(),
                    .a_gate = a_gate.view(),
                    .y = x.view(),
                    .h = OneSlot(layer.h)});
}

void ShadowBackend::MeasureLatte(const LatteLayer& layer, const float* max, const float* alpha, const float* vtilde,
                                 StateErrors& errors) {
  const int64_t E = layer.shape.head_dim;
  std::vector<double> mean(E), expected(E);
  for (size_t i = 0; i < layer.alpha.size(); ++i) {
    // The maximum is a copy of a key logit; where scaling rounded it, both sums are in other units.
    const double unit = std::exp(double{max[i]} - layer.max[i]);
    errors.alpha.Add(std::abs(alpha[i] * unit / layer.alpha[i] - 1));
    for (int64_t e = 0; e < E; ++e) {
      mean[e] = double{vtilde[i * E + e]} / double{alpha[i]};
      expected[e] = layer.vtilde[i * E + e] / layer.alpha[i];
    }
    errors.readout.Add(RelativeDistance(mean.data(), expected.data(), E));
  }
}

StateErrors ShadowBackend::Measure() {
  StateErrors errors;
  errors.y = std::exchange(y_, Error());
  for (const auto& [key, layer] : latte_) {
    MeasureLatte(layer, layer.shape.max.slot<float>(0), layer.shape.alpha.slot<float>(0),
                 layer.shape.vtilde.slot<float>(0), errors);
  }
  for (const auto& [key, layer] : rglru_) {
    double squares = 0;
    for (const double h : layer.h) squares += h * h;
    const double rms = std::sqrt(squares / static_cast<double>(layer.h.size()));
    for (size_t d = 0; d < layer.h.size(); ++d) errors.h.Add(std::abs(layer.watched[d] - layer.h[d]) / rms);
  }
  return errors;
}

StateErrors ShadowBackend::MeasureSums(size_t carry) const {
  StateErrors errors;
  for (const auto& [key, layer] : latte_) {
    const LatteSums& sums = layer.sums[carry];
    MeasureLatte(layer, sums.max().data(), sums.alpha().data(), sums.vtilde().data(), errors);
  }
  return errors;
}

void ShadowBackend::RecordRows(LatteLayer& layer, const LatteArgs& args) const {
  const auto append = [](std::vector<float>& to, const Rows& rows) {
    for (int64_t r = 0; r < rows.rows; ++r) to.insert(to.end(), rows.row<float>(r), rows.row<float>(r) + rows.cols);
  };
  append(layer.p, args.p);
  append(layer.k, args.k);
  append(layer.v, args.v);
}

int64_t ShadowBackend::recorded() const {
  if (latte_.empty()) return 0;
  const LatteLayer& layer = latte_.begin()->second;
  return static_cast<int64_t>(layer.k.size()) / (layer.shape.kv_heads * layer.shape.latents);
}

LatteArgs ShadowBackend::ReplayArgs(LatteLayer& layer, const Segment& segment, std::vector<float>& y) const {
  const auto rows = [&](std::vector<float>& values) {
    const int64_t columns = static_cast<int64_t>(values.size()) / segment.rows;
    return Rows{values.data(), DType::kF32, segment.rows, columns, columns};
  };
  y.resize(segment.rows * layer.shape.heads * layer.shape.head_dim);
  LatteArgs args = layer.shape;
  args.segments = {&segment, 1};
  args.p = rows(layer.p);
  args.k = rows(layer.k);
  args.v = rows(layer.v);
  args.y = rows(y);
  return args;
}

void ShadowBackend::Replay(int64_t tokens, bool prefill) {
  Segment segment = {.rows = static_cast<int32_t>(recorded()), .prefill = prefill};
  const int64_t times = tokens / segment.rows;
  for (auto& [key, layer] : latte_) {
    std::vector<float> y;
    std::vector<double> ignored;
    const LatteArgs args = ReplayArgs(layer, segment, y);
    segment.position = replayed_;  // no position twice: the dither differs each time
    for (int64_t i = 0; i < times; ++i, segment.position += segment.rows) inner_.Latte(args);
    if (layer.alpha_step.empty()) {
      std::vector<double> max = layer.max, alpha = layer.alpha, vtilde = layer.vtilde;
      RunDouble(layer, args, ignored);
      for (size_t i = 0; i < alpha.size(); ++i) layer.alpha_step.push_back(layer.alpha[i] - alpha[i]);
      for (size_t i = 0; i < vtilde.size(); ++i) layer.vtilde_step.push_back(layer.vtilde[i] - vtilde[i]);
      layer.max = max, layer.alpha = alpha, layer.vtilde = vtilde;
    }
    const double count = static_cast<double>(times);
    for (size_t i = 0; i < layer.alpha.size(); ++i) layer.alpha[i] += count * layer.alpha_step[i];
    for (size_t i = 0; i < layer.vtilde.size(); ++i) layer.vtilde[i] += count * layer.vtilde_step[i];
  }
  replayed_ += times * segment.rows;
}

}  // namespace barista::bench
