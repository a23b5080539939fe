// The tensor cores' product: its operands lie in the lanes as mma_cuda.cuh says, by shuffles everywhere, and on a card
// by the instruction too.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace barista
