#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/math/isa.h"
#include "tests/support/compare.h"

#define BARISTA_KERNEL_FILE "tests/kernels/math_test.inc"
#include "kernels/math/each_isa.inc"

namespace barista {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> Apply(void (*f)(const float*, int64_t, float*), std::vector<float> x) {
  x.resize((x.size() + 15) / 16 * 16);
  std::vector<float> y(x.size());
  f(x.data(), static_cast<int64_t>(x.size()), y.data());
  return y;
}

TEST(VectorMath, ExpHasSmallRelativeErrorOverItsWholeRange) {
  std::vector<float> x;
  for (float v = -87.3f; v < 88.7f; v += 0.0037f) x.push_back(v);
  for (float v = 1e-10f; v < 1; v *= 1.1f) x.insert(x.end(), {v, -v});
  test::ForEachIsa([&] {
    const std::vector<float> y = Apply(Pick(avx512::ExpAll, avx2::ExpAll, portable::ExpAll), x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double truth = std::exp(static_cast<double>(x[i]));
      ASSERT_LT(std::abs(y[i] - truth), 2e-7 * truth) << x[i];
    }
  });
}

TEST(VectorMath, ExpOfTheEdgesIsExact) {
  test::ForEachIsa([&] {
    const std::vector<float> y = Apply(Pick(avx512::ExpAll, avx2::ExpAll, portable::ExpAll),
                                       {0, -kInfinity, -1e30f, -88, kInfinity, 89, 1e30f, NAN, -0.0f});
    EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 7),
              (std::vector<float>{1, 0, 0, 0, kInfinity, kInfinity, kInfinity}));
    EXPECT_TRUE(std::isnan(y[7]));
    EXPECT_EQ(y[8], 1);
  });
}

TEST(VectorMath, TanhHasSmallRelativeError) {
  std::vector<float> x;
  for (float v = 1e-8f; v < 100; v *= 1.001f) x.insert(x.end(), {v, -v});
  x.insert(x.end(), {kInfinity, -kInfinity});
  test::ForEachIsa([&] {
    const std::vector<float> y = Apply(Pick(avx512::TanhAll, avx2::TanhAll, portable::TanhAll), x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double truth = std::tanh(static_cast<double>(x[i]));
      ASSERT_LE(std::abs(y[i] - truth), 3e-7 * std::abs(truth)) << x[i];
    }
  });
}

// All 2^16 bfloat16 and float16 values, their neighbours in float and the middles between them.
TEST(VectorMath, RoundingAgreesWithTheScalarConversions) {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    for (const float value :
         {ToFloat(BFloat16{static_cast<uint16_t>(bits)}), ToFloat(Float16{static_cast<uint16_t>(bits)})}) {
      for (const uint32_t offset : {0u, 1u, 0x0fffu, 0x1000u, 0x7fffu, 0x8000u, 0x8001u}) {
        x.push_back(std::bit_cast<float>(std::bit_cast<uint32_t>(value) + offset));
      }
    }
  }
  test::ForEachIsa([&] {
    const std::vector<float> b =
        Apply(Pick(avx512::RoundAll<BFloat16>, avx2::RoundAll<BFloat16>, portable::RoundAll<BFloat16>), x);
    const std::vector<float> h =
        Apply(Pick(avx512::RoundAll<Float16>, avx2::RoundAll<Float16>, portable::RoundAll<Float16>), x);
    for (size_t i = 0; i < x.size(); ++i) {
      const float bf16 = ToFloat(ToBFloat16(x[i])), f16 = ToFloat(ToFloat16(x[i]));
      if (std::isnan(x[i])) {
        ASSERT_TRUE(std::isnan(b[i]) && std::isnan(h[i])) << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(b[i]), std::bit_cast<uint32_t>(bf16)) << x[i];
        ASSERT_EQ(std::bit_cast<uint32_t>(h[i]), std::bit_cast<uint32_t>(f16)) << x[i];
      }
    }
  });
}

}  // namespace
}  // namespace barista
