// The kernels that touch a session's state, at the shapes of bench-150m: one layer, one thread.
//   time: per call; counters: us_per_token, and for decode GB_per_s of state read and written.
// Decode runs over 1 slot (in cache) and 512 (from memory).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <limits>

#include "kernels/activation/activation.h"
#include "kernels/conv1d/conv1d.h"
#include "kernels/latte/latte.h"
#include "kernels/norm/norm.h"
#include "kernels/rglru/rglru.h"
#include "kernels/rotary/rotary.h"
#include "kernels/window_attention/window_attention.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Matrix;
using test::Random;
using test::Slots;

constexpr int64_t kHeads = 8, kE = 96, kM = 32, kWindow = 128, kD = 768;

// One token of each of `slots` slots, or `rows` tokens of one.
std::vector<Segment> MakeSegments(int64_t slots, int64_t rows, bool prefill) {
  std::vector<Segment> segments;
  for (int64_t i = 0; i < slots; ++i) {
    segments.push_back({static_cast<int32_t>(i), static_cast<int32_t>(i * rows), static_cast<int32_t>(rows),
                        prefill ? 0 : 1'000'000, prefill});
  }
  return segments;
}

void Report(benchmark::State& state, int64_t tokens, int64_t state_bytes) {
  using benchmark::Counter;
  const double all = static_cast<double>(state.iterations() * tokens);
  state.counters["us_per_token"] = Counter(all / 1e6, Counter::kIsRate | Counter::kInvert);
  if (state_bytes > 0) {
    state.counters["GB_per_s"] = Counter(all * static_cast<double>(state_bytes) / 1e9, Counter::kIsRate);
  }
}

// The limit of one thread: a sum over 256 MiB.
void ReadMemory(benchmark::State& state) {
  const std::vector<float, test::AlignedAllocator<float>> data(64 << 20, 1.0f);
  for (auto _ : state) {
    float sums[64] = {};
    for (size_t i = 0; i < data.size(); i += 64) {
      for (size_t j = 0; j < 64; ++j) sums[j] += data[i + j];
    }
    benchmark::DoNotOptimize(sums);
  }
  Report(state, 1, static_cast<int64_t>(data.size() * sizeof(float)));
}
BENCHMARK(ReadMemory);

void Latte(benchmark::State& state, bool prefill) {
  const int64_t slots = prefill ? 1 : state.range(0), rows = prefill ? state.range(0) : 1, tokens = slots * rows;
  Random random(1);
  std::vector<float> probabilities = random.Normal(tokens * kHeads * (kM + 1));
  test::Softmax(probabilities, kM + 1);
  Matrix<float> p(tokens, kHeads * (kM + 1), probabilities, 0), y(tokens, kD, 0);
  Matrix<float> k(tokens, kHeads * kM, random.Normal(tokens * kHeads * kM), 0),
      v(tokens, kD, random.Normal(tokens * kD), 0);
  const int32_t count = static_cast<int32_t>(slots);
  Slots max(count, kHeads * kM, DType::kF32), alpha(count, kHeads * kM, DType::kF32, 1);
  Slots vtilde(count, kHeads * kM * kE, DType::kF32);
  const std::vector<Segment> segments = MakeSegments(slots, rows, prefill);
  const LatteArgs args{.segments = segments,
                       .heads = kHeads,
                       .kv_heads = kHeads,
                       .head_dim = kE,
                       .latents = kM,
                       .local = 1,
                       .p = p.view(),
                       .k = k.view(),
                       .k_scale = 1,
                       .v = v.view(),
                       .y = y.view(),
                       .max = max.array(),
                       .alpha = alpha.array(),
                       .vtilde = vtilde.array()};
  for (auto _ : state) {
    for (const Segment& s : segments) {
      for (int64_t g = 0; g < kHeads; ++g) LatteCpu(args, s, g);
    }
  }
  Report(state, tokens, prefill ? 0 : 2 * 4 * kHeads * kM * (kE + 2));
}
BENCHMARK_CAPTURE(Latte, decode, false)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(Latte, prefill, true)->Arg(64)->Arg(512);

void Window(benchmark::State& state, bool prefill, DType ring) {
  const int64_t slots = prefill ? 1 : state.range(0), rows = prefill ? state.range(0) : 1, tokens = slots * rows;
  Random random(1);
  const auto activations = [&] { return Matrix<float>(tokens, kD, random.Normal(tokens * kD), 0); };
  Matrix<float> q = activations(), k = activations(), v = activations(), y = activations(), weight = activations();
  const int32_t count = static_cast<int32_t>(slots);
  Slots keys(count, kWindow * kD, ring), values(count, kWindow * kD, ring);
  const std::vector<Segment> segments = MakeSegments(slots, rows, prefill);
  const WindowAttentionArgs args{.segments = segments,
                                 .heads = kHeads,
                                 .kv_heads = kHeads,
                                 .head_dim = kE,
                                 .window = kWindow,
                                 .capacity = kWindow,
                                 .scale = 0.1,
                                 .q = q.view(),
                                 .k = k.view(),
                                 .v = v.view(),
                                 .weight = weight.view(),
                                 .weight_stride = kM + 1,
                                 .y = y.view(),
                                 .keys = keys.array(),
                                 .values = values.array()};
  for (auto _ : state) {
    for (const Segment& s : segments) {
      for (int64_t g = 0; g < kHeads; ++g) WindowAttentionCpu(args, s, g);
    }
  }
  Report(state, tokens, prefill ? 0 : 2 * static_cast<int64_t>(SizeOf(ring)) * kWindow * kD);
}
BENCHMARK_CAPTURE(Window, decode_bf16, false, DType::kBF16)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(Window, decode_f32, false, DType::kF32)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(Window, prefill_bf16, true, DType::kBF16)->Arg(64)->Arg(512);
BENCHMARK_CAPTURE(Window, prefill_f32, true, DType::kF32)->Arg(512);

void Mixers(benchmark::State& state, bool prefill) {
  const int64_t slots = prefill ? 1 : state.range(0), rows = prefill ? state.range(0) : 1, tokens = slots * rows;
  Random random(1);
  const auto activations = [&] { return Matrix<float>(tokens, kD, random.Normal(tokens * kD), 0); };
  Matrix<float> x = activations(), u = activations(), input = activations(), gate = activations(), y = activations();
  const std::vector<float> weight = random.Normal(4 * kD), bias = random.Normal(kD), softplus_a(kD, 0.7f);
  const int32_t count = static_cast<int32_t>(slots);
  Slots inputs(count, 3 * kD, DType::kF32), h(count, kD, DType::kF32);
  const std::vector<Segment> segments = MakeSegments(slots, rows, prefill);
  const Conv1dArgs conv{.segments = segments,
                        .width = 4,
                        .weight = weight.data(),
                        .bias = bias.data(),
                        .x = x.view(),
                        .y = u.view(),
                        .inputs = inputs.array()};
  const RglruArgs rglru{.segments = segments,
                        .softplus_a = softplus_a.data(),
                        .x = u.view(),
                        .input_gate = input.view(),
                        .a_gate = gate.view(),
                        .y = y.view(),
                        .h = h.array()};
  for (auto _ : state) {
    Conv1dCpu(conv, 0, kD);
    RglruCpu(rglru, 0, kD);
  }
  Report(state, tokens, 0);
}
BENCHMARK_CAPTURE(Mixers, decode, false)->Arg(1)->Arg(512);
BENCHMARK_CAPTURE(Mixers, prefill, true)->Arg(512);

// Norm, rotation of q, softmax of latents and the gated activation: what each row costs beside products and state.
void Rowwise(benchmark::State& state, int kind) {
  constexpr int64_t kRows = 64, kMlp = 2560;
  Random random(1);
  Matrix<float> x(kRows, kMlp, random.Normal(kRows * kMlp), 0), gate(kRows, kMlp, random.Normal(kRows * kMlp), 0);
  Matrix<float> y(kRows, kMlp, 0);
  const std::vector<float> weight(kD, 1);
  const std::vector<int64_t> positions(kRows, 1'000'000);
  for (auto _ : state) {
    if (kind == 0) NormCpu({.weight = weight.data(), .x = x.view().Columns(0, kD), .y = y.view().Columns(0, kD)});
    if (kind == 1) {
      RotateCpu({.positions = positions, .head_dim = kE, .x = x.view().Columns(0, kD), .y = y.view().Columns(0, kD)});
    }
    if (kind == 2) GroupSoftmaxCpu({.group = kM + 1, .x = x.view().Columns(0, kHeads * (kM + 1))});
    if (kind == 3) MlpActivationCpu({.act = Activation::kGelu, .gate = gate.view(), .up = x.view(), .y = y.view()});
  }
  Report(state, kRows, 0);
}
BENCHMARK_CAPTURE(Rowwise, norm, 0);
BENCHMARK_CAPTURE(Rowwise, rotate, 1);
BENCHMARK_CAPTURE(Rowwise, softmax, 2);
BENCHMARK_CAPTURE(Rowwise, gelu_gated, 3);

}  // namespace
}  // namespace barista

BENCHMARK_MAIN();
