// Time to sample one row. The limit is one read of its logits at the measured rate of the cache they lie in.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/sampling/row_passes.h"
#include "kernels/sampling/sampling.h"

namespace barista {
namespace {

// Trained: a few likely tokens over a wide floor. Flat: a temperature of 3 on noise, thousands of likely tokens.
std::vector<float> MakeLogits(int64_t vocab, bool flat) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> logits(vocab);
  for (float& z : logits) z = flat ? normal(random) : 2.5f * normal(random) - 3;
  for (int i = 0; i < 30 && !flat; ++i) logits[random() % vocab] = 12 - 0.3f * static_cast<float>(i);
  return logits;
}

void Run(benchmark::State& state, const SamplingParams& params, int32_t top_logprobs, bool flat) {
  const int64_t vocab = state.range(0);
  const std::vector<float> logits = MakeLogits(vocab, flat);
  std::vector<float> scratch(vocab);
  SampleRow row{.params = &params, .counts = {}, .forbidden = {}, .top_logprobs = top_logprobs};
  for (auto _ : state) {
    ++row.position;
    benchmark::DoNotOptimize(SampleCpu(logits.data(), vocab, row, scratch.data()).token);
  }
  state.SetBytesProcessed(state.iterations() * vocab * 4);
}

// The limit: what a plain read of the row costs.
void Limit(benchmark::State& state) {
  const int64_t vocab = state.range(0);
  const std::vector<float> logits = MakeLogits(vocab, false);
  for (auto _ : state) benchmark::DoNotOptimize(Passes().count_between(logits.data(), vocab, 0, 1));
  state.SetBytesProcessed(state.iterations() * vocab * 4);
}

SamplingParams With(float temperature, int32_t top_k, float typical_p, float top_p, float min_p) {
  SamplingParams p;
  p.temperature = temperature;
  p.top_k = top_k;
  p.typical_p = typical_p;
  p.top_p = top_p;
  p.min_p = min_p;
  return p;
}

void Penalised(benchmark::State& state) {
  SamplingParams p = With(0.8f, 40, 0.95f, 0.9f, 0.02f);
  p.repetition_penalty = 1.1f;
  p.logit_bias = {{5, 1.0f}};
  Run(state, p, -1, false);
}

#define ROW(name, params, top, flat) \
  BENCHMARK_CAPTURE(Run, name, params, top, flat)->Arg(50304)->Arg(256000)->Unit(benchmark::kMicrosecond)

BENCHMARK(Limit)->Name("limit: one read")->Arg(50304)->Arg(256000)->Unit(benchmark::kMicrosecond);
ROW(greedy, With(0, 0, 1, 1, 0), -1, false);
ROW(temperature, With(0.8f, 0, 1, 1, 0), -1, false);
ROW(min_p, With(0.8f, 0, 1, 1, 0.05f), -1, false);
ROW(top_k_40, With(0.8f, 40, 1, 1, 0), -1, false);
ROW(top_p, With(0.8f, 0, 1, 0.9f, 0), -1, false);
ROW(top_p_flat, With(1, 0, 1, 0.9f, 0), -1, true);
ROW(typical_p, With(0.8f, 0, 0.9f, 1, 0), -1, false);
ROW(typical_p_flat, With(1, 0, 0.9f, 1, 0), -1, true);
ROW(all_but_top_k, With(0.8f, 0, 0.95f, 0.9f, 0.02f), -1, false);
ROW(all, With(0.8f, 40, 0.95f, 0.9f, 0.02f), -1, false);
BENCHMARK(Penalised)->Name("all, bias, penalties")->Arg(50304)->Arg(256000)->Unit(benchmark::kMicrosecond);
ROW(greedy_logprobs_20, With(0, 0, 1, 1, 0), 20, false);

}  // namespace
}  // namespace barista

BENCHMARK_MAIN();
