// The tensor cores' product: its operands lie in the lanes as mma_cuda.cuh says, by shuffles everywhere, and on a card
// by the instruction too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/matmul/mma_cuda.cuh"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

__global__ void MmaKernel(const uint4* a, const uint2* b, float* d, bool portable) {
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = d[Lane() * 4 + i];
  if (portable) {
    MmaBf16Portable(sums, a[Lane()], b[Lane()]);
  } else {
    MmaBf16(sums, a[Lane()], b[Lane()]);
  }
  for (int i = 0; i < 4; ++i) d[Lane() * 4 + i] = sums[i];
}

uint32_t Pair(const std::vector<float>& matrix, int first, int second) {
  return uint32_t{ToBFloat16(matrix[first]).bits} | uint32_t{ToBFloat16(matrix[second]).bits} << 16;
}

TEST(Mma, OperandsLieInTheLanesAsDocumented) {
  if (!test::HasDevice()) return;  // a build for cards on a machine without one
  test::Random random(91);
  const std::vector<float> a = random.Normal(16 * 16), b = random.Normal(16 * 8), start = random.Normal(16 * 8);
  std::vector<uint4> a_lanes(32);
  std::vector<uint2> b_lanes(32);
  std::vector<float> d_lanes(32 * 4);
  const auto place = [](int lane, int i) { return (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2; };  // in [16, 8]
  for (int lane = 0; lane < 32; ++lane) {
    const int r = lane / 4, c = lane % 4 * 2;
    const auto of_a = [&](int row, int column) { return Pair(a, row * 16 + column, row * 16 + column + 1); };
    const auto of_b = [&](int row) { return Pair(b, row * 8 + r, (row + 1) * 8 + r); };
    a_lanes[lane] = {of_a(r, c), of_a(r + 8, c), of_a(r, c + 8), of_a(r + 8, c + 8)};
    b_lanes[lane] = {of_b(c), of_b(c + 8)};
    for (int i = 0; i < 4; ++i) d_lanes[lane * 4 + i] = start[place(lane, i)];
  }
  for (const bool portable : {true, false}) {
    std::vector<float> d = d_lanes;
    {
      test::Device device(a_lanes, b_lanes, d);
      Launch(device.queue(), {.threads = 32, .name = "mma"}, MmaKernel, device.At(a_lanes.data()),
             device.At(b_lanes.data()), device.At(d.data()), portable);
    }
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = place(lane, i) / 8, column = place(lane, i) % 8;
        double sum = start[row * 8 + column];
        for (int k = 0; k < 16; ++k) {
          sum += static_cast<double>(ToFloat(ToBFloat16(a[row * 16 + k]))) * ToFloat(ToBFloat16(b[k * 8 + column]));
        }
        EXPECT_NEAR(d[lane * 4 + i], sum, 1e-5)
            << (portable ? "portable" : "instruction") << " " << row << " " << column;
      }
    }
  }
}

// x as the sum of its terms, in double.
template <int N>
__global__ void SplitKernel(const float* x, double* sums) {
  uint32_t terms[N];
  SplitBf16(x[2 * threadIdx.x], x[2 * threadIdx.x + 1], terms);
  sums[2 * threadIdx.x] = sums[2 * threadIdx.x + 1] = 0;
  for (int n = 0; n < N; ++n) {
    sums[2 * threadIdx.x] += LowBf16(terms[n]);
    sums[2 * threadIdx.x + 1] += HighBf16(terms[n]);
  }
}

TEST(Mma, TermsAddUpToTheirFloat) {
  if (!test::HasDevice()) return;
  test::Random random(92);
  std::vector<float> x = random.Normal(64);
  for (int i = 0; i < 64; ++i) x[i] = std::ldexp(x[i], i - 32);
  x[0] = 0, x[1] = -0.0f, x[2] = 1.0f + 0x1p-23f, x[3] = -(2.0f - 0x1p-23f);  // the last places of a float
  std::vector<double> two(64), three(64);
  {
    test::Device device(x, two, three);
    const LaunchShape shape = {.threads = 32, .name = "split"};
    Launch(device.queue(), shape, SplitKernel<2>, device.At(x.data()), device.At(two.data()));
    Launch(device.queue(), shape, SplitKernel<3>, device.At(x.data()), device.At(three.data()));
  }
  for (int i = 0; i < 64; ++i) {
    EXPECT_LE(std::abs(two[i] - x[i]), std::abs(x[i]) * 0x1p-17) << i;
    EXPECT_EQ(three[i], x[i]) << i;
  }
}

// d = a b of floats: 8 of a and 4 of b a lane, in the order in which MmaBf16 has them.
template <int A, int B>
__global__ void MmaTermsKernel(const float* a, const float* b, float* d) {
  uint32_t of_a[4][A], of_b[2][B];
  for (int i = 0; i < 4; ++i) SplitBf16(a[Lane() * 8 + 2 * i], a[Lane() * 8 + 2 * i + 1], of_a[i]);
  for (int i = 0; i < 2; ++i) SplitBf16(b[Lane() * 4 + 2 * i], b[Lane() * 4 + 2 * i + 1], of_b[i]);
  uint4 a_terms[A];
  uint2 b_terms[B];
  for (int n = 0; n < A; ++n) a_terms[n] = {of_a[0][n], of_a[1][n], of_a[2][n], of_a[3][n]};
  for (int n = 0; n < B; ++n) b_terms[n] = {of_b[0][n], of_b[1][n]};
  float large[4] = {}, small[4] = {};
  MmaTerms(large, small, a_terms, b_terms);
  for (int i = 0; i < 4; ++i) d[Lane() * 4 + i] = large[i] + small[i];
}

// Largest error of a product of random floats, in units of the sum of |a b|.
template <int A, int B>
double ErrorOfTerms() {
  test::Random random(93);
  const std::vector<float> a = random.Normal(32 * 8), b = random.Normal(32 * 4);
  std::vector<float> d(32 * 4);
  {
    test::Device device(a, b, d);
    Launch(device.queue(), {.threads = 32, .name = "mma_terms"}, MmaTermsKernel<A, B>, device.At(a.data()),
           device.At(b.data()), device.At(d.data()));
  }
  double worst = 0;
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double sum = 0, size = 0;
      for (int k = 0; k < 16; ++k) {
        const int lane_a = row % 8 * 4 + k % 8 / 2, lane_b = column * 4 + k % 8 / 2;
        const double left = a[lane_a * 8 + (k / 8 * 2 + row / 8) * 2 + k % 2],
                     right = b[lane_b * 4 + k / 8 * 2 + k % 2];
        sum += left * right;
        size += std::abs(left * right);
      }
      const int lane = row % 8 * 4 + column / 2;
      worst = std::max(worst, std::abs(d[lane * 4 + row / 8 * 2 + column % 2] - sum) / size);
    }
  }
  return worst;
}

TEST(Mma, TermsMultiplyAsFloats) {
  if (!test::HasDevice()) return;
  EXPECT_LE((ErrorOfTerms<1, 1>()), 0x1p-7);
  EXPECT_LE((ErrorOfTerms<2, 2>()), 0x1p-15);
  EXPECT_LE((ErrorOfTerms<3, 3>()), 0x1p-22);
}

}  // namespace
}  // namespace barista
