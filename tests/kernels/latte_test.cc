#include "kernels/latte/latte.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Close;
using test::ForEachTwin;
using test::Matrix;
using test::Random;
using test::Slots;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int32_t kSlots = 7;

struct Shape {
  int64_t H, G, E, M, local;
};

struct Inputs {
  Shape shape;
  int64_t rows;
  std::vector<float> p, k, v;
};

Inputs RandomInputs(Shape s, int64_t rows, uint64_t seed, float k_deviation = 3) {
  Random random(seed);
  Inputs in{s, rows, random.Normal(rows * s.H * (s.M + s.local)), random.Normal(rows * s.G * s.M, k_deviation),
            random.Normal(rows * s.G * s.E)};
  test::Softmax(in.p, s.M + s.local);
  return in;
}

// Inputs, outputs and states in one element type.
template <class T>
struct Problem {
  explicit Problem(const Inputs& in)
      : shape(in.shape),
        p(in.rows, in.shape.H * (in.shape.M + in.shape.local), in.p),
        k(in.rows, in.shape.G * in.shape.M, in.k),
        v(in.rows, in.shape.G * in.shape.E, in.v),
        y(in.rows, in.shape.H * in.shape.E),
        max(kSlots, in.shape.G * in.shape.M, DTypeOf<T>::value, -kInfinity),
        alpha(kSlots, in.shape.G * in.shape.M, DTypeOf<T>::value),
        vtilde(kSlots, in.shape.G * in.shape.M * in.shape.E, DTypeOf<T>::value) {}

  LatteArgs Args(Segments segments) {
    return {.segments = segments,
            .heads = shape.H,
            .kv_heads = shape.G,
            .head_dim = shape.E,
            .latents = shape.M,
            .local = shape.local,
            .p = p.view(),
            .k = k.view(),
            .k_scale = 0.5,
            .v = v.view(),
            .y = y.view(),
            .max = max.array(),
            .alpha = alpha.array(),
            .vtilde = vtilde.array()};
  }
  void Ref(Segments segments) { LatteRef<T>(Args(segments)); }
  void Twin(Segments segments) {
    LatteArgs args = Args(segments);
    if (test::OnDevice()) {
      test::Device device(p, k, v, y, max, alpha, vtilde);
      device.MoveAll(args.p, args.k, args.v, args.y, args.max, args.alpha, args.vtilde);
      const DeviceStep& step = device.Step(segments);
      return LatteCuda(args, step, device.Workspace(step.chunk_count * LatteWorkspaceBytes(shape.G, shape.M, shape.E)),
                       device.queue());
    }
    for (const Segment& s : segments) {
      for (int64_t g = 0; g < shape.G; ++g) LatteCpu(args, s, g);
    }
  }

  Shape shape;
  Matrix<T> p, k, v, y;
  Slots max, alpha, vtilde;
};

// float32: sums of up to 500 weighted values of size 1 and weights e^x with rounding of x up to 2^-20 (|x| <= 16).
constexpr test::Tolerance kFloat{2e-5, 2e-5};

template <class A, class B>
void ExpectSame(const Problem<A>& actual, const Problem<B>& expected, std::vector<int32_t> slots,
                test::Tolerance tolerance) {
  EXPECT_TRUE(Close(actual.y.values(), expected.y.values(), tolerance));
  for (const int32_t slot : slots) {
    EXPECT_TRUE(Close(actual.max.values(slot), expected.max.values(slot), {0, 1e-6})) << "max of slot " << slot;
    EXPECT_TRUE(Close(actual.alpha.values(slot), expected.alpha.values(slot), {0, 1e-4})) << "alpha of slot " << slot;
    EXPECT_TRUE(Close(actual.vtilde.values(slot), expected.vtilde.values(slot), {1e-3, 1e-4}))
        << "vtilde of slot " << slot;
  }
}

class LatteShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(LatteShapes, TwinsFollowTheEquationInBothForms) {
  for (const bool prefill : {false, true}) {
    const Inputs in = RandomInputs(GetParam(), 1 + 63 + 500, 11);
    const std::vector<Segment> segments = {{5, 0, 1, 0, prefill}, {0, 1, 63, 0, prefill}, {3, 64, 500, 0, prefill}};
    Problem<double> truth(in);
    truth.Ref(segments);
    Problem<float> plain(in);
    plain.Ref(segments);
    ExpectSame(plain, truth, {5, 0, 3}, kFloat);
    ForEachTwin([&] {
      Problem<float> run(in);
      run.Twin(segments);
      ExpectSame(run, truth, {5, 0, 3}, kFloat);
      EXPECT_TRUE(Close(run.alpha.values(1), std::vector<double>(in.shape.G * in.shape.M, 0), {}));  // not named
    });
  }
}

INSTANTIATE_TEST_SUITE_P(All, LatteShapes,
                         ::testing::Values(Shape{1, 1, 2, 1, 0}, Shape{4, 2, 16, 12, 1}, Shape{8, 8, 96, 32, 1},
                                           Shape{8, 1, 100, 33, 0}, Shape{3, 1, 96, 32, 1}, Shape{6, 1, 20, 5, 0}));

TEST(Latte, CutsAtMultiplesOfTheChunkKeepTheBits) {
  const Inputs in = RandomInputs({4, 2, 100, 33, 1}, 300, 12);
  ForEachTwin([&] {
    Problem<float> whole(in), cut(in), elsewhere(in);
    whole.Twin({{2, 0, 300, 0, true}});
    for (const auto& [row, rows] : {std::pair{0, 64}, {64, 128}, {192, 108}}) cut.Twin({{2, row, rows, row, true}});
    ExpectSame(cut, whole, {2}, {});
    EXPECT_EQ(cut.vtilde.values(2), whole.vtilde.values(2));
    for (const auto& [row, rows] : {std::pair{0, 1}, {1, 98}, {99, 201}}) elsewhere.Twin({{2, row, rows, row, true}});
    ExpectSame(elsewhere, whole, {2}, kFloat);
  });
}

TEST(Latte, NeighboursInTheBatchDoNotChangeTheBits) {
  const Inputs in = RandomInputs({4, 2, 96, 32, 0}, 40, 13);
  for (const bool prefill : {false, true}) {
    ForEachTwin([&] {
      Problem<float> together(in), alone(in);
      together.Twin({{6, 0, 9, 0, prefill}, {1, 9, 31, 0, prefill}});
      alone.Twin({{1, 9, 31, 0, prefill}});
      alone.Twin({{6, 0, 9, 0, prefill}});
      EXPECT_EQ(together.y.values(), alone.y.values());
      EXPECT_EQ(together.vtilde.values(1), alone.vtilde.values(1));
    });
  }
}

TEST(Latte, DecodeContinuesFromPrefill) {
  const Inputs in = RandomInputs({2, 2, 96, 32, 1}, 130, 14);
  Problem<double> truth(in);
  truth.Ref(std::vector<Segment>{{4, 0, 130, 0, false}});
  ForEachTwin([&] {
    Problem<float> run(in);
    run.Twin({{4, 0, 100, 0, true}});
    for (int32_t t = 100; t < 130; ++t) run.Twin({{4, t, 1, t, false}});
    ExpectSame(run, truth, {4}, kFloat);
  });
}

// The running maximum climbs by 1000 within 64 tokens, falls, stays -inf, or starts at 1e4; some latents stay calm.
TEST(Latte, ExtremeLogitsKeepTheEquation) {
  Inputs in = RandomInputs({2, 1, 20, 8, 0}, 256, 15);
  for (int64_t t = 0; t < in.rows; ++t) {
    float* k = in.k.data() + t * 8;
    k[0] = static_cast<float>(2000 * (t % 64) / 64);
    k[1] = static_cast<float>(-1000 * (t / 16));
    k[2] = -std::numeric_limits<float>::infinity();
    k[3] = t < 70 ? -std::numeric_limits<float>::infinity() : k[3];
    k[4] += 2e4f;
    k[5] += t == 200 ? 1e4f : 0;
    k[6] += static_cast<float>(t);
  }
  Problem<double> truth(in);
  truth.Ref(std::vector<Segment>{{4, 0, 256, 0, false}});
  // Logits near 1e4 are themselves rounded to 1e-3 in float32, but their differences are exact: nothing is lost.
  ForEachTwin([&] {
    for (const bool prefill : {false, true}) {
      Problem<float> run(in);
      run.Twin({{4, 0, 256, 0, prefill}});
      ExpectSame(run, truth, {4}, kFloat);
    }
  });
}

// Terms below half the last place of their sum: plain float sums would stay where they are.
TEST(Latte, SumsOfMillionsGoOnGrowing) {
  constexpr int64_t kRows = 512;
  constexpr float kStart = 3 << 20;  // a last place of 1/4
  const Shape shape = {1, 1, 20, 5, 0};
  const Inputs in = {shape, kRows, std::vector<float>(kRows * 5, 0.2f), std::vector<float>(kRows * 5, -6),
                     std::vector<float>(kRows * 20, 2)};
  for (const bool prefill : {false, true}) {
    ForEachTwin([&] {
      const int64_t times = test::kDeviceIsSlow && test::OnDevice() ? 32 : 256;
      const double added = std::exp(-3.0) * static_cast<double>(kRows * times);
      Problem<float> run(in);
      std::fill_n(run.max.array().slot<float>(4), 5, 0.0f);
      std::fill_n(run.alpha.array().slot<float>(4), 5, kStart);
      std::fill_n(run.vtilde.array().slot<float>(4), 5 * 20, kStart);
      for (int64_t i = 0; i < times; ++i) run.Twin({{4, 0, kRows, 1000000 + i * kRows, prefill}});
      // Roundings that are off by up to 1/4 either way: 4 standard deviations of their sum.
      const double tolerance = 4 * 0.25 / std::sqrt(3.0) * std::sqrt(static_cast<double>(kRows * times));
      for (const double alpha : run.alpha.values(4)) EXPECT_NEAR(alpha - kStart, added, tolerance);
      for (const double sum : run.vtilde.values(4)) EXPECT_NEAR(sum - kStart, 2 * added, tolerance);
    });
  }
}

TEST(Latte, NanStaysInItsSlot) {
  Inputs in = RandomInputs({2, 1, 20, 8, 0}, 20, 16);
  in.k[3 * 8 + 1] = std::numeric_limits<float>::quiet_NaN();
  for (const bool prefill : {false, true}) {
    ForEachTwin([&] {
      Problem<float> run(in);
      run.Twin({{4, 0, 10, 0, prefill}, {5, 10, 10, 0, prefill}});
      const std::vector<double> y = run.y.values();
      EXPECT_TRUE(std::isnan(y[9 * 40]));
      for (size_t i = 10 * 40; i < y.size(); ++i) ASSERT_TRUE(std::isfinite(y[i]));
    });
  }
}

TEST_P(LatteShapes, BidirectionalTwinsFollowTheEquation) {
  Shape shape = GetParam();
  shape.local = 0;
  const Inputs in = RandomInputs(shape, 1 + 63 + 500, 17, 20);
  const std::vector<Segment> segments = {{0, 0, 1, 0, true}, {0, 1, 63, 0, true}, {0, 64, 500, 0, true}};
  const auto args = [&](auto& run) {
    return BidirectionalLatteArgs{.segments = segments,
                                  .heads = shape.H,
                                  .kv_heads = shape.G,
                                  .head_dim = shape.E,
                                  .latents = shape.M,
                                  .p = run.p.view(),
                                  .k = run.k.view(),
                                  .k_scale = 0.5,
                                  .v = run.v.view(),
                                  .y = run.y.view()};
  };
  Problem<double> truth(in);
  BidirectionalLatteRef<double>(args(truth));
  ForEachTwin([&] {
    Problem<float> run(in);
    BidirectionalLatteArgs twin = args(run);
    if (test::OnDevice()) {
      test::Device device(run.p, run.k, run.v, run.y);
      device.MoveAll(twin.p, twin.k, twin.v, twin.y);
      const DeviceStep& step = device.Step(segments);
      const int64_t bytes = step.chunk_count * LatteWorkspaceBytes(shape.G, shape.M, shape.E);
      BidirectionalLatteCuda(twin, step, device.Workspace(bytes), device.queue());
    } else {
      for (const Segment& s : segments) {
        for (int64_t g = 0; g < shape.G; ++g) BidirectionalLatteCpu(twin, s, g);
      }
    }
    EXPECT_TRUE(Close(run.y.values(), truth.y.values(), kFloat));
  });
}

}  // namespace
}  // namespace barista
