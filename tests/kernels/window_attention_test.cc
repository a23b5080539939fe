#include "kernels/window_attention/window_attention.h"

#include <gtest/gtest.h>

#include <cmath>

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

constexpr int32_t kSlots = 6;

struct Shape {
  int64_t H, G, E, window, capacity;
  bool mixed;      // the local part of a Macchiato layer: y holds the global part before
  double softcap;  // 0: none
  DType ring;
};

struct Inputs {
  Shape shape;
  int64_t rows;
  std::vector<float> q, k, v, p, y;
};

Inputs RandomInputs(Shape s, int64_t rows, uint64_t seed) {
  Random random(seed);
  return {s,
          rows,
          random.Normal(rows * s.H * s.E),
          random.Normal(rows * s.G * s.E),
          random.Normal(rows * s.G * s.E),
          random.Normal(rows * s.H * 5),
          random.Normal(rows * s.H * s.E)};
}

template <class T>
struct Problem {
  explicit Problem(const Inputs& in)
      : shape(in.shape),
        q(in.rows, shape.H * shape.E, in.q),
        k(in.rows, shape.G * shape.E, in.k),
        v(in.rows, shape.G * shape.E, in.v),
        p(in.rows, shape.H * 5, in.p),
        y(in.rows, shape.H * shape.E, shape.mixed ? in.y : std::vector<float>(in.y.size(), NAN)),
        keys(kSlots, shape.capacity * shape.G * shape.E, shape.ring),
        values(kSlots, shape.capacity * shape.G * shape.E, shape.ring) {}

  WindowAttentionArgs Args(Segments segments) {
    WindowAttentionArgs args{.segments = segments,
                             .heads = shape.H,
                             .kv_heads = shape.G,
                             .head_dim = shape.E,
                             .window = shape.window,
                             .capacity = shape.capacity,
                             .scale = 0.3,
                             .softcap = shape.softcap,
                             .q = q.view(),
                             .k = k.view(),
                             .v = v.view(),
                             .weight = {},
                             .weight_stride = 5,
                             .y = y.view(),
                             .keys = keys.array(),
                             .values = values.array()};
    if (shape.mixed) args.weight = p.view();
    return args;
  }
  void Ref(Segments segments) { WindowAttentionRef<T>(Args(segments)); }
  void Twin(Segments segments) {
    WindowAttentionArgs args = Args(segments);
    if (test::OnDevice()) {
      test::Device device(q, k, v, p, y, keys, values);
      device.MoveAll(args.q, args.k, args.v, args.weight, args.y, args.keys, args.values);
      return WindowAttentionCuda(args, device.Step(segments), device.queue());
    }
    for (const Segment& s : segments) {
      for (int64_t g = 0; g < shape.G; ++g) WindowAttentionCpu(args, s, g);
    }
  }

  Shape shape;
  Matrix<T> q, k, v, p, y;
  Slots keys, values;
};

// float32 scores of size up to 20 carry 2^-20 into the weights; keys and values are rounded alike on both sides, so the
// ring's type adds nothing.
constexpr test::Tolerance kFloat{1e-5, 1e-5};

template <class A, class B>
void ExpectSame(const Problem<A>& actual, const Problem<B>& expected, std::vector<int32_t> slots,
                test::Tolerance tolerance) {
  EXPECT_TRUE(Close(actual.y.values(), expected.y.values(), tolerance));
  for (const int32_t slot : slots) {
    EXPECT_EQ(actual.keys.values(slot), expected.keys.values(slot)) << "slot " << slot;
    EXPECT_EQ(actual.values.values(slot), expected.values.values(slot)) << "slot " << slot;
  }
}

class WindowAttentionShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(WindowAttentionShapes, TwinsFollowTheEquationInBothForms) {
  for (const bool prefill : {false, true}) {
    const Inputs in = RandomInputs(GetParam(), 1 + 63 + 500, 21);
    const std::vector<Segment> segments = {{5, 0, 1, 0, prefill}, {0, 1, 63, 0, prefill}, {3, 64, 500, 0, prefill}};
    Problem<double> truth(in);
    truth.Ref(segments);
    Problem<float> plain(in);
    plain.Ref(segments);
    ExpectSame(plain, truth, {0, 1, 3, 5}, kFloat);
    ForEachTwin([&] {
      Problem<float> run(in);
      run.Twin(segments);
      ExpectSame(run, truth, {0, 1, 3, 5}, kFloat);
    });
  }
}

TEST_P(WindowAttentionShapes, PrefillDecodeAndPrefillContinueOneAnother) {
  const Inputs in = RandomInputs(GetParam(), 500, 22);
  Problem<double> truth(in);
  truth.Ref({{4, 0, 500, 0, false}});
  ForEachTwin([&] {
    Problem<float> run(in);
    run.Twin({{4, 0, 150, 0, true}});
    for (int32_t t = 150; t < 180; ++t) run.Twin({{4, t, 1, t, false}});
    run.Twin({{4, 180, 3, 180, true}});
    run.Twin({{4, 183, 317, 183, true}});
    ExpectSame(run, truth, {4}, kFloat);
  });
}

// At multiples of the chunk; on a device anywhere.
TEST_P(WindowAttentionShapes, CutsKeepTheBits) {
  const Inputs in = RandomInputs(GetParam(), 300, 23);
  ForEachTwin([&] {
    Problem<float> whole(in), cut(in);
    whole.Twin({{2, 0, 300, 0, true}});
    cut.Twin({{2, 0, 64, 0, true}});
    cut.Twin({{2, 64, 128, 64, true}});
    cut.Twin({{2, 192, 108, 192, true}});
    EXPECT_EQ(cut.y.values(), whole.y.values());
    EXPECT_EQ(cut.keys.values(2), whole.keys.values(2));
    if (!test::OnDevice()) return;
    Problem<float> elsewhere(in);
    for (const auto& [row, rows] : {std::pair{0, 1}, {1, 98}, {99, 201}}) {
      elsewhere.Twin({{2, row, rows, row, true}});
    }
    EXPECT_EQ(elsewhere.y.values(), whole.y.values());
  });
}

INSTANTIATE_TEST_SUITE_P(All, WindowAttentionShapes,
                         ::testing::Values(Shape{1, 1, 2, 1, 1, false, 0, DType::kF32},
                                           Shape{4, 2, 16, 7, 7, true, 0, DType::kBF16},
                                           Shape{8, 8, 96, 128, 128, true, 0, DType::kBF16},
                                           Shape{8, 1, 100, 33, 40, false, 0.5, DType::kF16},
                                           Shape{7, 1, 20, 64, 64, true, 30, DType::kBF16},
                                           Shape{2, 1, 130, 20, 30, false, 0, DType::kBF16},
                                           Shape{2, 1, 256, 150, 160, true, 5, DType::kBF16},
                                           Shape{3, 1, 88, 33, 40, false, 0, DType::kBF16},
                                           Shape{2, 1, 64, 600, 600, false, 0, DType::kF32}));

TEST(WindowAttention, NeighboursInTheBatchDoNotChangeTheBits) {
  const Inputs in = RandomInputs({4, 2, 96, 20, 20, false, 0, DType::kBF16}, 100, 24);
  for (const bool prefill : {false, true}) {
    ForEachTwin([&] {
      Problem<float> together(in), alone(in);
      together.Twin({{5, 0, 37, 0, prefill}, {1, 37, 63, 0, prefill}});
      alone.Twin({{1, 37, 63, 0, prefill}});
      alone.Twin({{5, 0, 37, 0, prefill}});
      EXPECT_EQ(together.y.values(), alone.y.values());
    });
  }
}

// On a device a key, value or query that is not finite shows in the rows that see it and in no other.
TEST(WindowAttention, NanReachesTheRowsThatSeeItAlone) {
  constexpr int64_t kRow = 100, kWindow = 40, kE = 20;
  for (const int which : {0, 1, 2}) {
    Inputs in = RandomInputs({2, 1, kE, kWindow, kWindow, false, 0, DType::kBF16}, 200, 27);
    (which == 0 ? in.q[kRow * 2 * kE] : which == 1 ? in.k[kRow * kE] : in.v[kRow * kE]) = NAN;
    ForEachTwin([&] {
      if (!test::OnDevice()) return;
      Problem<float> run(in);
      run.Twin({{0, 0, 90, 0, true}});
      run.Twin({{0, 90, 110, 90, true}});
      const std::vector<double> y = run.y.values();
      for (int64_t t = 0; t < 200; ++t) {
        const bool seen = t >= kRow && t < kRow + (which == 0 ? 1 : kWindow);
        EXPECT_EQ(std::isnan(y[t * 2 * kE]), seen) << "row " << t;
        EXPECT_EQ(std::isfinite(y[t * 2 * kE + kE + 1]), !seen || which == 0) << "row " << t;
      }
    });
  }
}

// Scores of +-1e4 and differences of 1e6: the largest takes all, nothing overflows.
TEST(WindowAttention, ExtremeScoresKeepTheEquation) {
  Inputs in = RandomInputs({2, 1, 16, 128, 128, false, 0, DType::kF32}, 300, 25);
  for (size_t i = 0; i < in.k.size(); i += 7) in.k[i] *= 1e6f;
  for (int64_t t = 0; t < 300; t += 3) std::fill_n(in.k.data() + t * 16, 16, 0.0f);
  Problem<double> truth(in);
  truth.Ref({{0, 0, 300, 0, false}});
  for (const bool prefill : {false, true}) {
    ForEachTwin([&] {
      Problem<float> run(in);
      run.Twin({{0, 0, 300, 0, prefill}});
      EXPECT_TRUE(Close(run.y.values(), truth.y.values(), {1e-4, 1e-4}));
    });
  }
}

// What lies in a slot's ring from an earlier owner is never read: it may be NaN.
TEST(WindowAttention, RowsBeyondTheSequenceAreNotRead) {
  const Inputs in = RandomInputs({2, 1, 20, 128, 128, false, 0, DType::kF32}, 100, 26);
  for (const bool prefill : {false, true}) {
    ForEachTwin([&] {
      Problem<float> clean(in), dirty(in);
      dirty.keys = Slots(kSlots, 128 * 20, DType::kF32, NAN);
      dirty.values = Slots(kSlots, 128 * 20, DType::kF32, NAN);
      clean.Twin({{0, 0, 100, 0, prefill}});
      dirty.Twin({{0, 0, 100, 0, prefill}});
      EXPECT_EQ(dirty.y.values(), clean.y.values());
    });
  }
}

}  // namespace
}  // namespace barista
