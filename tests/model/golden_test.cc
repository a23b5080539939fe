// Every golden checkpoint on every backend: one prefill, single steps, random cuts; tolerances of
// tests/golden/README.md.
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "tests/support/case_name.h"
#include "tests/support/device_backend.h"
#include "tests/support/loaded_model.h"

namespace barista {
namespace {

struct Arithmetic {
  const char* name;
  BackendOptions backend;
  WeightFormat weights;
};

const std::vector<Arithmetic>& Arithmetics() {
  static const auto& all = *new std::vector<Arithmetic>{
      {"ref", {.kind = "ref"}, {}},
      {"cpu", {.kind = "cpu", .threads = 2}, {}},
      {"cpu_portable", {.kind = "cpu", .threads = 1, .cpu_isa = "portable"}, {}},
      {"cpu_bf16", {.kind = "cpu", .threads = 2}, {.dtype = DType::kBF16}},
      {"cpu_int8", {.kind = "cpu", .threads = 2}, {.quantization = Quantization::kInt8}},
      {"cpu_int4", {.kind = "cpu", .threads = 2}, {.quantization = Quantization::kInt4}},
      {"cuda", {.kind = "cuda"}, {}},
      {"cuda_bf16", {.kind = "cuda"}, {.dtype = DType::kBF16}},
      {"cuda_int8", {.kind = "cuda"}, {.quantization = Quantization::kInt8}},
      {"cuda_int4", {.kind = "cuda"}, {.quantization = Quantization::kInt4}},
  };
  return all;
}

struct Case {
  std::string directory;
  Arithmetic arithmetic;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.directory << " on " << c.arithmetic.name; }

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const std::string& directory : GoldenDirectories()) {
    for (const Arithmetic& a : Arithmetics()) {
      const bool cuda = a.backend.kind == "cuda", quantized = a.weights.quantization != Quantization::kNone;
      if (cuda && !test::HasDevice()) continue;
      if (cuda && quantized && !absl::EndsWith(directory, "gemma-macchiato")) continue;  // the shim takes its time
      cases.push_back({directory, a});
    }
  }
  return cases;
}

class GoldenTest : public testing::TestWithParam<Case> {
 protected:
  const std::string& directory() const { return GetParam().directory; }
  bool extreme() const { return absl::EndsWith(directory(), "latte-extreme"); }
  // Weights or stored rings of 16 bits.
  bool bf16() const {
    return GetParam().arithmetic.weights.dtype == DType::kBF16 ||
           (absl::EndsWith(directory(), "bf16-post-mixed") && GetParam().arithmetic.backend.kind != "ref");
  }
  bool quantized() const { return GetParam().arithmetic.weights.quantization != Quantization::kNone; }
  // Max abs error over max abs logit. bf16 products of extreme logits only have to be finite.
  double tolerance() const {
    if (bf16()) return extreme() ? INFINITY : 2e-2;
    return extreme() ? 2e-4 : 2e-5;
  }
  LoadedModel Load() const {
    return LoadedModel::Load(directory(), test::MakeBackendUnderTest(GetParam().arithmetic.backend),
                             {.weights = GetParam().arithmetic.weights, .rows_max = 512});
  }
  bool cuda() const { return GetParam().arithmetic.backend.kind == "cuda"; }
  // Then one row, its first chunk and part of the next.
  bool slow() const { return test::kDeviceIsSlow && cuda(); }
  int64_t rows(const GoldenTensor<int32_t>& tokens) const { return slow() ? 1 : tokens.shape[0]; }
  int32_t length(const GoldenTensor<int32_t>& tokens) const {
    return static_cast<int32_t>(slow() ? std::min<int64_t>(tokens.shape[1], 110) : tokens.shape[1]);
  }
  bool classifier() const { return directory().find("cls") != std::string::npos; }
};

void ExpectNear(const std::vector<std::vector<double>>& got, absl::Span<const float> want, double tolerance,
                const std::string& what) {
  double error = 0, largest = 0;
  size_t i = 0;
  for (const std::vector<double>& row : got) {
    for (double x : row) {
      ASSERT_TRUE(std::isfinite(x)) << what;
      error = std::max(error, std::abs(x - want[i]));
      largest = std::max(largest, std::abs(static_cast<double>(want[i])));
      ++i;
    }
  }
  ASSERT_EQ(i, want.size()) << what;
  EXPECT_LE(error, tolerance * largest) << what << ": relative error " << error / largest;
  testing::Test::RecordProperty("relative_error", std::to_string(error / largest));
}

TEST_P(GoldenTest, LogitsForAnySplitOfTheTokens) {
  if (quantized()) return;  // another model than the golden one
  const GoldenFile golden(directory());
  LoadedModel m = Load();
  const auto tokens = golden.Read<int32_t>("tokens");
  const auto logits = golden.Read<float>("logits");
  if (classifier()) {
    double error = 0;
    for (int64_t row = 0; row < rows(tokens); ++row) {
      std::vector<int32_t> ids(tokens.row(row).begin(), tokens.row(row).end());
      if (absl::StrContains(directory(), "official")) {
        while (ids.back() == 256) ids.pop_back();
      }
      const std::vector<double> got = m.model->Classify(ids);
      for (size_t i = 0; i < got.size(); ++i) error = std::max(error, std::abs(got[i] - logits.row(row)[i]));
    }
    EXPECT_LE(error, bf16() ? 2e-2 : 1e-4);
    return;
  }
  for (int64_t row = 0; row < rows(tokens); ++row) {
    const absl::Span<const int32_t> ids = tokens.row(row);
    const int32_t count = length(tokens), steps = slow() ? 40 : count;
    const int64_t vocab = static_cast<int64_t>(logits.row(row).size() / ids.size());
    const auto want = [&](int64_t positions) { return logits.row(row).first(positions * vocab); };
    ExpectNear(m.Run(ids, {count}, false), want(count), tolerance(), "one prefill");
    ExpectNear(m.Run(ids, std::vector<int32_t>(steps, 1), true), want(steps), tolerance(), "single steps");
    for (uint32_t seed = 0; seed < (slow() ? 1u : 3u); ++seed) {
      ExpectNear(m.Run(ids, RandomCuts(count, seed), true), want(count), tolerance(), "random cuts");
    }
  }
}

// The rounding of activations and rings, apart from that of the weights: against ref on the same weights, rounded to
// bf16 or quantised.
TEST_P(GoldenTest, ArithmeticAgainstTheReferenceOnTheSameWeights) {
  if ((!bf16() && !quantized()) || extreme() || classifier()) return;
  // The narrow networks of `extra` (D 24 to 48, large random gains) average less rounding out: measured up to 1.2e-2.
  const double bf16_tolerance = absl::StrContains(directory(), "/extra/") ? 2e-2 : 1e-2;
  const double tolerance = quantized() && !bf16() && !cuda() ? 2e-3 : bf16_tolerance;  // a card rounds to bf16
  LoadedModel m = Load();
  LoadedModel ref = LoadedModel::Load(
      directory(), BackendOptions{.kind = "ref"},
      {.weights = quantized() ? GetParam().arithmetic.weights : WeightFormat{.dtype = DType::kBF16}, .rows_max = 512});
  const auto tokens = GoldenFile(directory()).Read<int32_t>("tokens");
  for (int64_t row = 0; row < rows(tokens); ++row) {
    const int32_t count = length(tokens);
    std::vector<float> want;
    for (const auto& logits : ref.Run(tokens.row(row), {count}, false))
      want.insert(want.end(), logits.begin(), logits.end());
    ExpectNear(m.Run(tokens.row(row), {count}, false), want, tolerance, "one prefill");
    ExpectNear(m.Run(tokens.row(row), RandomCuts(count, 5), true), want, tolerance, "random cuts");
  }
}

TEST_P(GoldenTest, GreedyContinuation) {
  const GoldenFile golden(directory());
  if (!golden.has("greedy_tokens") || bf16() || quantized()) return;  // rounded weights may choose otherwise
  LoadedModel m = Load();
  const auto prompt = golden.Read<int32_t>("greedy_prompt");
  const auto want = golden.Read<int32_t>("greedy_tokens");
  std::vector<int32_t> ids = prompt.values;
  std::vector<int32_t> got;
  m.pool->Init(0);
  int64_t position = 0;
  while (got.size() < want.values.size()) {
    const Segment segment = {
        .slot = 0, .row = 0, .rows = static_cast<int32_t>(ids.size()), .position = position, .prefill = position == 0};
    m.model->Forward({&segment, 1}, ids, *m.pool);
    position += segment.rows;
    const std::vector<double> logits = m.ReadRow(m.model->Logits({0}, *m.pool), 0);
    ids = {static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin())};
    got.push_back(ids[0]);
  }
  EXPECT_EQ(got, want.values);
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return test::CaseName(info.param.directory.substr(std::string("tests/golden/").size()) + "_" +
                        info.param.arithmetic.name);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, testing::ValuesIn(Cases()), CaseName);

}  // namespace
}  // namespace barista
