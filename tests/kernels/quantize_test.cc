#include "kernels/matmul/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/random_data.h"

namespace barista {
namespace {

double SquaredError(const std::vector<float>& weights, const QuantizedRow& row) {
  double sum = 0;
  for (size_t k = 0; k < weights.size(); ++k) {
    const double error = weights[k] - static_cast<double>(row.scale) * row.Integer(static_cast<int64_t>(k));
    sum += error * error;
  }
  return sum;
}

TEST(QuantizeTest, Int8IsWithinHalfAStepOfEveryWeight) {
  test::Random random(1);
  for (const int64_t in : {1, 31, 64, 1000}) {
    const std::vector<float> weights = random.Normal(in, 0.05f);
    const QuantizedRow row = QuantizeRow(weights, Quantization::kInt8);
    int most = 0;
    for (int64_t k = 0; k < in; ++k) {
      EXPECT_LE(std::abs(weights[k] - row.scale * static_cast<float>(row.Integer(k))), 0.5001f * row.scale);
      most = std::max(most, std::abs(row.Integer(k)));
    }
    EXPECT_EQ(most, 127);
  }
}

TEST(QuantizeTest, Int4TakesTheMultiplierOfTheSmallestSquaredErrorOfEachGroup) {
  test::Random random(2);
  std::vector<float> weights = random.Normal(3 * kQuantizedGroup + 5, 0.1f);
  for (int64_t k = 0; k < kQuantizedGroup; ++k) weights[k] *= 0.3f;
  const QuantizedRow row = QuantizeRow(weights, Quantization::kInt4);
  ASSERT_EQ(row.multipliers.size(), 4u);
  const double least = SquaredError(weights, row);
  for (size_t g = 0; g < row.multipliers.size(); ++g) {
    for (int m = 0; m <= 15; ++m) {
      QuantizedRow other = row;
      other.multipliers[g] = static_cast<uint8_t>(m);
      const size_t end = std::min(weights.size(), (g + 1) * kQuantizedGroup);
      for (size_t k = g * kQuantizedGroup; k < end && m > 0; ++k) {
        other.q[k] = static_cast<int8_t>(
            std::clamp(std::nearbyint(weights[k] / (row.scale * static_cast<float>(m))), -8.0f, 7.0f));
      }
      EXPECT_GE(SquaredError(weights, other), least * 0.999999);
    }
  }
  EXPECT_LT(row.multipliers[0], row.multipliers[1]);
}

TEST(QuantizeTest, IntegersOfInt4FitAByte) {
  test::Random random(3);
  std::vector<float> weights = random.Normal(512);
  weights[7] = -30;
  const QuantizedRow row = QuantizeRow(weights, Quantization::kInt4);
  for (int64_t k = 0; k < 512; ++k) {
    EXPECT_GE(row.q[k], -8);
    EXPECT_LE(row.q[k], 7);
    EXPECT_LE(std::abs(row.Integer(k)), 127);
  }
}

TEST(QuantizeTest, ZerosStayZero) {
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    for (const float value : {0.0f, 1e-40f}) {
      const QuantizedRow row = QuantizeRow(std::vector<float>(40, value), quantization);
      EXPECT_EQ(row.scale, 0);
      for (int64_t k = 0; k < 40; ++k) EXPECT_EQ(row.Integer(k), 0);
    }
  }
}

TEST(QuantizeTest, WeightThatIsNotFiniteMakesTheWholeOutputNaN) {
  for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> weights(40, 1.0f);
    weights[33] = value;
    EXPECT_TRUE(std::isnan(QuantizeRow(weights, Quantization::kInt8).scale));
    EXPECT_TRUE(std::isnan(QuantizeRow(weights, Quantization::kInt4).scale));
  }
}

}  // namespace
}  // namespace barista
