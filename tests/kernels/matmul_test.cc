#include "kernels/matmul/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/matmul/matmul_cpu.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/quantize.h"
#include "kernels/matmul/self_test.h"
#include "kernels/matmul/warpgroups_cuda.h"
#include "tests/kernels/weight_data.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Expected;
using test::HostsOf;
using test::Kind;
using test::kKinds;
using test::Matrix;
using test::Random;
using test::Rounding;
using test::Weight;

// Sums of up to 2600 products of values near 1, in float: a few hundred roundings of 2^-24.
constexpr test::Tolerance kFloatSums = {1e-5, 1e-5};

// Who multiplies: the CPU with an instruction set, or, without one, a device.
using Multiplier = std::optional<CpuIsa>;

class MatmulTest : public testing::TestWithParam<std::tuple<Multiplier, Kind>> {
 protected:
  MatmulTest() : pool_(2), matmul_(pool_) {}
  static Multiplier multiplier() { return std::get<0>(GetParam()); }
  static Kind kind() { return std::get<1>(GetParam()); }
  static Quantization quantization() { return kind().quantization; }
  static Rounding rounding() {
    if (quantization() != Quantization::kNone) return multiplier() ? Rounding::kFixed : Rounding::kBf16;
    return kind().dtype == DType::kBF16 ? Rounding::kBf16 : Rounding::kNone;
  }

  std::unique_ptr<Linear> Make(const std::vector<HostMatrix>& hosts, std::optional<Activation> act = std::nullopt) {
    if (!multiplier()) {
      absl::StatusOr<std::unique_ptr<CudaLinear>> linear = CudaLinear::Create(hosts, act, quantization());
      EXPECT_TRUE(linear.ok()) << linear.status();
      return *std::move(linear);
    }
    absl::StatusOr<std::unique_ptr<CpuLinear>> linear =
        CpuLinear::Create(hosts, act, quantization(), *multiplier(), pool_);
    EXPECT_TRUE(linear.ok()) << linear.status();
    EXPECT_TRUE(matmul_.Reserve((*linear)->in()).ok());
    return *std::move(linear);
  }
  void Multiply(const Linear& linear, Rows x, Rows y, bool accumulate = false) {
    const LinearCall call = {&linear, x, y, accumulate};
    MultiplyAll({&call, 1});
  }
  void MultiplyAll(absl::Span<const LinearCall> calls) {
    if (multiplier()) return matmul_.Multiply(calls);
    std::vector<test::Memory> memories;
    for (const LinearCall& call : calls)
      memories.insert(memories.end(), {test::MemoryOf(call.x), test::MemoryOf(call.y)});
    test::Device device(memories);
    std::vector<LinearCall> moved(calls.begin(), calls.end());
    CudaMatmul matmul(card_);
    for (LinearCall& call : moved) {
      device.MoveAll(call.x, call.y);
      EXPECT_TRUE(matmul.Reserve(call.x.rows, call.x.cols).ok());
    }
    matmul.Multiply(moved, device.queue());
  }

  ThreadPool pool_;
  CpuMatmul matmul_;
  CudaCard card_ = {.multiprocessors = 4};  // that products are cut for
  Random random_{7};
};

TEST_P(MatmulTest, EqualsTheSumInDouble) {
  for (const auto& [in, out] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {8, 8}, {17, 1}, {63, 65}, {65, 63}, {96, 96}, {500, 500}, {768, 264}, {2563, 40}}) {
    for (const int64_t rows : {1, 3, 16, 17, 33, 65}) {
      if (rows * in * out > 5000000) continue;
      SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " x " << out);
      std::vector<Weight> parts;
      parts.emplace_back(random_, out, in, kind());
      const std::vector<float> values = random_.Normal(rows * in);
      Matrix<float> x(rows, in, values), y(rows, out);
      Multiply(*Make(HostsOf(parts)), x.view(), y.view());
      EXPECT_TRUE(test::Close(y.values(), Expected(parts, values, rows, {}, rounding()), kFloatSums));
    }
  }
}

// The activation after the product: y = act(x W^T + b), and with a gate y = act(x Wg^T + bg) * (x Wu^T + bu).
TEST_P(MatmulTest, ActivationsFollowTheProduct) {
  for (const auto& [in, out, rows] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 1}, {17, 15, 3}, {63, 65, 33}, {96, 160, 17}, {768, 264, 1}, {40, 2600, 70}, {2600, 40, 70}}) {
    for (const Activation act : {Activation::kSilu, Activation::kGelu}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " x " << out);
      std::vector<Weight> parts;
      for (int i = 0; i < 2; ++i) parts.emplace_back(random_, out, in, kind(), false, true);
      const std::vector<float> values = random_.Normal(rows * in);
      Matrix<float> x(rows, in, values), gated(rows, out), plain(rows, out), alone(rows, out);
      const std::unique_ptr<Linear> linear = Make(HostsOf(parts), act);
      Multiply(*linear, x.view(), gated.view());
      Multiply(*Make({parts[0].host}, act), x.view(), plain.view());
      std::vector<double> sums = Expected(parts, values, rows, {}, rounding());
      Rows all = {sums.data(), DType::kF64, rows, 2 * out, 2 * out};
      Matrix<double> truth(rows, out);
      MlpActivationRef<double>({act, all.Columns(0, out), all.Columns(out, out), truth.view()});
      EXPECT_TRUE(test::Close(gated.values(), truth.values(), {4e-5, 4e-5}));
      MlpActivationRef<double>({act, {}, all.Columns(0, out), truth.view()});
      EXPECT_TRUE(test::Close(plain.values(), truth.values(), kFloatSums));
      for (int64_t r = 0; r < rows; ++r) Multiply(*linear, x.view().Slice(r, 1), alone.view().Slice(r, 1));
      EXPECT_EQ(alone.values(), gated.values());
    }
  }
}

TEST_P(MatmulTest, RowsAloneAndTogetherAreBitEqual) {
  const int64_t in = multiplier() ? 2600 : 520, out = 40, most = 530;  // more than one pass along rows and depth
  std::vector<Weight> parts;
  parts.emplace_back(random_, out, in, kind(), false, true);
  const std::unique_ptr<Linear> linear = Make(HostsOf(parts));
  Matrix<float> x(most, in, random_.Normal(most * in)), alone(most, out);
  for (int64_t r = 0; r < most; ++r) Multiply(*linear, x.view().Slice(r, 1), alone.view().Slice(r, 1));
  const std::vector<double> expected = alone.values();
  for (const int64_t rows : {2, 7, 16, 31, 33, 129, 530}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    for (int64_t first = 0; first + rows <= most; first += std::max<int64_t>(rows, 97)) {
      Matrix<float> y(rows, out);
      Multiply(*linear, x.view().Slice(first, rows), y.view());
      EXPECT_EQ(y.values(),
                std::vector<double>(expected.begin() + first * out, expected.begin() + (first + rows) * out));
    }
  }
}

// What a card has decides how large the blocks are and who multiplies (product_blocks_cuda.cu): each of the five ways,
// where this card has room for it.
TEST_P(MatmulTest, CardsChangeNoBit) {
  if (multiplier()) return;
  const test::CardHere here;
  std::vector<CudaCard> cards = {{1, 227 << 10, true}, {1, 227 << 10}, {1, 163 << 10}, {1, 99 << 10}, {132, 99 << 10}};
  std::erase_if(cards, [&](const CudaCard& card) {
    return card.shared_max > here.shared_max || (card.warpgroups && !here.has_warpgroups);
  });
  for (const int64_t in : {200, 520}) {
    const int64_t out = 300, rows = 150;
    std::vector<Weight> parts;
    parts.emplace_back(random_, out, in, kind(), false, true);
    const std::unique_ptr<Linear> linear = Make(HostsOf(parts));
    Matrix<float> x(rows, in, random_.Normal(rows * in)), alone(rows, out), together(rows, out);
    for (int64_t r = 0; r < rows; ++r) Multiply(*linear, x.view().Slice(r, 1), alone.view().Slice(r, 1));
    for (const CudaCard& card : cards) {
      SCOPED_TRACE(testing::Message() << card.multiprocessors << ", " << card.shared_max << " bytes, "
                                      << (card.warpgroups ? "warpgroups" : "warps"));
      card_ = card;
      Multiply(*linear, x.view(), together.view());
      EXPECT_EQ(together.values(), alone.values());
    }
  }
}

TEST_P(MatmulTest, ThreadsAndOtherCallsChangeNoBit) {
  const int64_t in = 768, rows = 40;
  std::vector<Weight> a, b;
  a.emplace_back(random_, 1000, in, kind());
  b.emplace_back(random_, 77, in, kind());
  const std::unique_ptr<Linear> linear_a = Make(HostsOf(a)), linear_b = Make(HostsOf(b));
  Matrix<float> x(rows, in, random_.Normal(rows * in)), x2(rows, in, random_.Normal(rows * in));
  Matrix<float> a_alone(rows, 1000), b_alone(rows, 77), a_both(rows, 1000), b_both(rows, 77), c_both(3, 77);
  ThreadPool one(1);
  CpuMatmul single(one);
  ASSERT_TRUE(single.Reserve(in).ok());
  for (const LinearCall& call : {LinearCall{linear_a.get(), x.view(), a_alone.view(), false},
                                 LinearCall{linear_b.get(), x.view(), b_alone.view(), false}}) {
    multiplier() ? single.Multiply({&call, 1}) : MultiplyAll({&call, 1});
  }
  const LinearCall calls[] = {{linear_b.get(), x.view(), b_both.view(), false},
                              {linear_a.get(), x.view(), a_both.view(), false},
                              {linear_b.get(), x2.view().Slice(0, 3), c_both.view(), false}};
  MultiplyAll(calls);
  EXPECT_EQ(a_both.values(), a_alone.values());
  EXPECT_EQ(b_both.values(), b_alone.values());
}

TEST_P(MatmulTest, AccumulateAddsToWhatIsThere) {
  for (const bool bias : {false, true}) {
    for (const int64_t rows : {1, 40}) {
      std::vector<Weight> parts;
      parts.emplace_back(random_, 65, 100, kind(), false, bias);
      const std::vector<float> values = random_.Normal(rows * 100);
      Matrix<float> x(rows, 100, values), y(rows, 65, random_.Normal(rows * 65));
      const std::vector<double> before = y.values();
      Multiply(*Make(HostsOf(parts)), x.view(), y.view(), true);
      EXPECT_TRUE(test::Close(y.values(), Expected(parts, values, rows, before, rounding()), kFloatSums));
    }
  }
}

TEST_P(MatmulTest, StacksPartsWithAndWithoutBias) {
  std::vector<Weight> parts;
  parts.emplace_back(random_, 33, 70, kind(), false, true);
  parts.emplace_back(random_, 5, 70, kind());
  parts.emplace_back(random_, 64, 70, kind(), true, true);
  const std::vector<float> values = random_.Normal(9 * 70);
  Matrix<float> x(9, 70, values), y(9, 102);
  const std::unique_ptr<Linear> linear = Make(HostsOf(parts));
  EXPECT_EQ(linear->out(), 102);
  Multiply(*linear, x.view(), y.view());
  EXPECT_TRUE(test::Close(y.values(), Expected(parts, values, 9, {}, rounding()), kFloatSums));
}

TEST_P(MatmulTest, TransposedPartIsTheSameMatrix) {
  std::vector<Weight> parts;
  parts.emplace_back(random_, 50, 65, kind(), true);
  const std::vector<float> values = random_.Normal(4 * 65);
  Matrix<float> x(4, 65, values), y(4, 50);
  Multiply(*Make(HostsOf(parts)), x.view(), y.view());
  EXPECT_TRUE(test::Close(y.values(), Expected(parts, values, 4, {}, rounding()), kFloatSums));
}

TEST_P(MatmulTest, MixedTypesBecomeFloat) {
  std::vector<Weight> parts;
  parts.emplace_back(random_, 20, 65, kind());
  parts.emplace_back(random_, 20, 65, Kind{DType::kF32, quantization()});
  const Rounding mixed = quantization() == Quantization::kNone ? Rounding::kNone : rounding();
  const std::vector<float> values = random_.Normal(3 * 65);
  Matrix<float> x(3, 65, values), y(3, 40);
  Multiply(*Make(HostsOf(parts)), x.view(), y.view());
  EXPECT_TRUE(test::Close(y.values(), Expected(parts, values, 3, {}, mixed), kFloatSums));
}

TEST_P(MatmulTest, NonFiniteRowLeavesItsNeighboursAlone) {
  const int64_t rows = 35, in = 70, out = 40;
  std::vector<Weight> parts;
  parts.emplace_back(random_, out, in, kind());
  const std::unique_ptr<Linear> linear = Make(HostsOf(parts));
  std::vector<float> values = random_.Normal(rows * in);
  Matrix<float> clean(rows, in, values), clean_y(rows, out), y(rows, out);
  values[20 * in + 69] = NAN;
  values[5 * in] = INFINITY;
  Matrix<float> x(rows, in, values);
  Multiply(*linear, clean.view(), clean_y.view());
  Multiply(*linear, x.view(), y.view());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      const float value = y.view().row<float>(r)[o];
      if (r == 20 || r == 5) {
        EXPECT_FALSE(std::isfinite(value));
      } else {
        EXPECT_EQ(value, clean_y.view().row<float>(r)[o]);
      }
    }
  }
}

TEST_P(MatmulTest, WritesNothingOutsideItsColumns) {
  std::vector<Weight> parts;
  parts.emplace_back(random_, 37, 64, kind());
  Matrix<float> x(34, 64, random_.Normal(34 * 64)), y(34, 100);
  Multiply(*Make(HostsOf(parts)), x.view(), y.view().Columns(10, 37));
  for (int64_t r = 0; r < 34; ++r) {
    for (int64_t o = 0; o < 100; ++o) EXPECT_EQ(std::isnan(y.view().row<float>(r)[o]), o < 10 || o >= 47);
  }
}

TEST_P(MatmulTest, BytesAreThoseOfThePackedForm) {
  std::vector<Weight> parts;
  parts.emplace_back(random_, 64, 128, kind());
  const int64_t elements = 64 * 128, scales = 64 * 4, starts = multiplier() ? 64 * 4 : 0, bias = 64 * 4;
  // int4's multipliers are two in a byte on a CPU, and one on a device.
  const int64_t multipliers = elements / kQuantizedGroup / (multiplier() ? 2 : 1);
  const int64_t weight = quantization() == Quantization::kInt8 ? elements + scales + starts
                         : quantization() == Quantization::kInt4
                             ? elements / 2 + multipliers + scales + starts
                             : elements * static_cast<int64_t>(SizeOf(kind().dtype));
  EXPECT_EQ(Make(HostsOf(parts))->bytes(), weight + bias);
}

TEST_P(MatmulTest, SelfTestPasses) { EXPECT_TRUE(!multiplier() || CheckRowBits(*multiplier(), pool_).ok()); }

std::vector<Multiplier> MultipliersHere() {
  std::vector<Multiplier> multipliers;
  for (const CpuIsa isa : kAllCpuIsas) {
    if (isa <= DetectIsa()) multipliers.push_back(isa);
  }
  if (test::HasDevice()) multipliers.push_back(std::nullopt);
  return multipliers;
}

std::string CaseName(const testing::TestParamInfo<std::tuple<Multiplier, Kind>>& test) {
  const auto& [multiplier, kind] = test.param;
  return std::string(multiplier ? Name(*multiplier) : "cuda") + "_" +
         std::string(kind.quantization == Quantization::kNone ? Name(kind.dtype) : Name(kind.quantization));
}

INSTANTIATE_TEST_SUITE_P(All, MatmulTest,
                         testing::Combine(testing::ValuesIn(MultipliersHere()), testing::ValuesIn(kKinds)), CaseName);

TEST(WarpgroupsTest, MultiplyAsWarpsDo) {
  const test::CardHere here;
  if (!here.has_warpgroups) return;
  CudaQueue queue(nullptr);
  const absl::StatusOr<bool> alike = WarpgroupsMultiplyAlike({1, here.shared_max}, queue);
  ASSERT_TRUE(alike.ok()) << alike.status();
  EXPECT_TRUE(*alike);
}

// Sums of integers are exact.
TEST(LinearTest, QuantisedProductsAreBitEqualOnAllInstructionSets) {
  Random random(3);
  ThreadPool pool(2);
  for (const Kind& kind : {kKinds[3], kKinds[4]}) {
    for (const auto& [in, out, rows] : std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {70, 33, 5}, {768, 96, 21}}) {
      std::vector<Weight> parts;
      parts.emplace_back(random, out, in, kind, false, true);
      Matrix<float> x(rows, in, random.Normal(rows * in, 40));
      std::vector<double> portable;
      for (const CpuIsa isa : kAllCpuIsas) {
        if (isa > DetectIsa()) continue;
        const auto linear = *CpuLinear::Create(HostsOf(parts), std::nullopt, kind.quantization, isa, pool);
        CpuMatmul matmul(pool);
        ASSERT_TRUE(matmul.Reserve(in).ok());
        Matrix<float> y(rows, out);
        const LinearCall call = {linear.get(), x.view(), y.view(), false};
        matmul.Multiply({&call, 1});
        if (portable.empty()) portable = y.values();
        EXPECT_EQ(y.values(), portable) << Name(isa) << ", " << Name(kind.quantization) << ", " << in << " inputs";
      }
    }
  }
}

TEST(LinearTest, ImpossiblePartsAreRefusedByName) {
  ThreadPool pool(1);
  const float data[6] = {};
  HostMatrix a;
  a.data = data, a.out = 2, a.in = 3;
  HostMatrix b = a;
  b.in = 2;
  const auto error = [&](std::vector<HostMatrix> parts, std::optional<Activation> act = std::nullopt) {
    return std::string(CpuLinear::Create(parts, act, Quantization::kNone, CpuIsa::kPortable, pool).status().message());
  };
  EXPECT_THAT(error({}), testing::HasSubstr("at least one"));
  EXPECT_THAT(error({a, b}), testing::HasSubstr("weight part 1 is [2, 2]"));
  EXPECT_THAT(error({a, a, a}, Activation::kSilu), testing::HasSubstr("a gate and an up matrix"));
  HostMatrix wide = a;
  wide.in = 70000;
  EXPECT_THAT(
      std::string(
          CpuLinear::Create({&wide, 1}, std::nullopt, Quantization::kInt8, CpuIsa::kPortable, pool).status().message()),
      testing::HasSubstr("70000 inputs"));
  a.dtype = DType::kF64;
  EXPECT_THAT(error({a}), testing::HasSubstr("f64"));
}

TEST(IsaTest, UnknownAndMissingInstructionSetsAreRefusedByName) {
  EXPECT_EQ(*ChooseIsa("auto"), DetectIsa());
  EXPECT_EQ(*ChooseIsa("portable"), CpuIsa::kPortable);
  EXPECT_EQ(ChooseIsa("sse9").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ChooseIsa("sse9").status().message()), testing::HasSubstr("\"sse9\""));
  if (DetectIsa() < CpuIsa::kAmx) {
    EXPECT_EQ(ChooseIsa("amx").status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

}  // namespace
}  // namespace barista
