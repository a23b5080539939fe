#include "kernels/norm/norm.h"

#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Close;
using test::Matrix;
using test::Random;

void NormTwin(NormArgs args) {
  if (!test::OnDevice()) return NormCpu(args);
  const auto floats = [&args](const void* data) {
    return test::Memory{data, data == nullptr ? 0 : args.x.cols * sizeof(float)};
  };
  test::Device device(test::MemoryOf(args.x), test::MemoryOf(args.y), floats(args.weight), floats(args.bias));
  device.MoveAll(args.x, args.y, args.weight, args.bias);
  NormCuda(args, device.queue());
}

TEST(Norm, TwinsFollowTheEquation) {
  for (const int64_t D : {1, 2, 33, 768, 1000}) {
    for (const NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm, NormKind::kAffine}) {
      for (const bool with_bias : {false, true}) {
        Random random(51);
        const std::vector<float> x = random.Normal(7 * D, 2, 5), weight = random.Normal(D), bias = random.Normal(D);
        const auto run = [&]<class T>(T, const auto& norm) {
          const std::vector<T> w(weight.begin(), weight.end()), b(bias.begin(), bias.end());
          Matrix<T> from(7, D, x), to(7, D);
          norm({.kind = kind,
                .eps = 1e-5,
                .weight = w.data(),
                .bias = with_bias ? b.data() : nullptr,
                .x = from.view(),
                .y = to.view()});
          norm({.kind = kind,
                .eps = 1e-5,
                .weight = w.data(),
                .bias = with_bias ? b.data() : nullptr,
                .x = from.view(),
                .y = from.view()});
          EXPECT_EQ(from.values(), to.values()) << "in place";
          return to.values();
        };
        const std::vector<double> truth = run(double{}, NormRef<double>);
        // float32: a mean of 5 is taken off values of deviation 2, which leaves a few units of 2^-24 * 5; with one
        // column the layernorm of anything is 0 and only eps keeps its rounding small.
        const test::Tolerance tolerance{D == 1 ? 1e-3 : 5e-6, 3e-6};
        EXPECT_TRUE(Close(run(float{}, NormRef<float>), truth, tolerance));
        test::ForEachTwin([&] { EXPECT_TRUE(Close(run(float{}, NormTwin), truth, tolerance)); });
      }
    }
  }
}

}  // namespace
}  // namespace barista
