#include "kernels/rotary/rotary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Close;
using test::Matrix;
using test::Random;

constexpr int64_t kPositions[] = {0, 1, 63, 1000, 1'000'003, 12'345'678};

template <class T, class F>
std::vector<double> Rotated(const std::vector<float>& x, int64_t E, int sign, const F& rotate) {
  const int64_t cols = static_cast<int64_t>(x.size()) / 6;
  Matrix<T> from(6, cols, x), to(6, cols);
  rotate({.positions = kPositions, .head_dim = E, .theta = 10000, .sign = sign, .x = from.view(), .y = to.view()});
  rotate({.positions = kPositions, .head_dim = E, .theta = 10000, .sign = sign, .x = from.view(), .y = from.view()});
  EXPECT_EQ(from.values(), to.values()) << "in place";
  return to.values();
}

void RotateTwin(RotateArgs args) {
  if (!test::OnDevice()) return RotateCpu(args);
  Matrix<float> of_rows(args.x.rows, args.head_dim);
  Rows angles = of_rows.view();
  test::Device device(args.x, args.y, args.positions, angles);
  device.MoveAll(args.x, args.y, args.positions, angles);
  float* table = static_cast<float*>(angles.data);
  AnglesCuda(args.positions, args.head_dim, args.theta, table, device.queue());
  RotateCuda(args, table, device.queue(), {});
}

TEST(Rotary, AnglesStayExactAtPositionsOfMillions) {
  for (const int64_t E : {2, 16, 96, 100}) {
    for (const int sign : {1, -1}) {
      Random random(71);
      const int64_t cols = 3 * E;
      const std::vector<float> x = random.Normal(6 * cols);
      std::vector<double> truth;
      for (int64_t i = 0; i < 6 * cols; ++i) {
        const int64_t e = i % E, pair = e % (E / 2);
        const long double angle =
            sign * static_cast<long double>(kPositions[i / cols]) *
            std::pow(10000.0L, -2.0L * static_cast<long double>(pair) / static_cast<long double>(E));
        const long double left = x[i - e + pair], right = x[i - e + pair + E / 2];
        truth.push_back(static_cast<double>(e < E / 2 ? left * std::cos(angle) - right * std::sin(angle)
                                                      : right * std::cos(angle) + left * std::sin(angle)));
      }
      // double: the angle 12,345,678 is rounded to 1e-9; float32: sine, cosine and sum are rounded to 2^-24.
      EXPECT_TRUE(Close(Rotated<double>(x, E, sign, RotateRef<double>), truth, {2e-8, 0}));
      EXPECT_TRUE(Close(Rotated<float>(x, E, sign, RotateRef<float>), truth, {1e-6, 0}));
      test::ForEachTwin([&] { EXPECT_TRUE(Close(Rotated<float>(x, E, sign, RotateTwin), truth, {1e-6, 0})); });
    }
  }
}

}  // namespace
}  // namespace barista
