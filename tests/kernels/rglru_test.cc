#include "kernels/rglru/rglru.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/packed_rows.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Close;
using test::ForEachTwin;
using test::Matrix;
using test::Random;
using test::Slots;

struct Inputs {
  int64_t rows, D;
  std::vector<float> x, input_gate, a_gate, softplus_a;
};

Inputs RandomInputs(int64_t rows, int64_t D) {
  Random random(31);
  Inputs in{
      rows, D, random.Normal(rows * D), random.Normal(rows * D, 3), random.Normal(rows * D, 8), random.Normal(D, 2)};
  for (float& a : in.softplus_a) a = std::log1p(std::exp(a));
  return in;
}

template <class T>
struct Problem {
  explicit Problem(const Inputs& in)
      : softplus_a(in.softplus_a.begin(), in.softplus_a.end()),
        x(in.rows, in.D, in.x),
        input_gate(in.rows, in.D, in.input_gate),
        a_gate(in.rows, in.D, in.a_gate),
        y(in.rows, in.D),
        h(5, in.D, DTypeOf<T>::value, std::numeric_limits<double>::quiet_NaN()) {}

  RglruArgs Args(Segments segments) {
    return {.segments = segments,
            .softplus_a = softplus_a.data(),
            .x = x.view(),
            .input_gate = input_gate.view(),
            .a_gate = a_gate.view(),
            .y = y.view(),
            .h = h.array()};
  }
  void Twin(Segments segments) { Twin(Args(segments)); }
  void Twin(RglruArgs args) {
    const int64_t D = x.view().cols, middle = D / 2;
    if (test::OnDevice()) {
      test::Device device(softplus_a, x, input_gate, a_gate, y, h);
      const Rows on_host = args.y;
      device.MoveAll(args.softplus_a, args.x, args.input_gate, args.a_gate, args.y, args.h);
      const test::PackedBuffer packed(on_host.rows, D);
      const DeviceStep& step = device.Step(args.segments);
      RglruCuda(args, step, device.Workspace(step.rows * RglruWorkspaceBytes(D)), packed.target(), device.queue());
      int64_t covered = 0;
      for (const Segment& s : args.segments) covered += s.rows;
      if (covered == on_host.rows) {
        EXPECT_TRUE(packed.Holds(on_host, device));
      }
      return;
    }
    RglruCpu(args, 0, middle);  // in two ranges of columns, as two threads would
    RglruCpu(args, middle, D);
  }

  std::vector<T> softplus_a;
  Matrix<T> x, input_gate, a_gate, y;
  Slots h;
};

// float32: each step adds 3e-7 to a state that forgets; where a is close to 1 the root's argument has error 5e-7.
constexpr test::Tolerance kFloat{2e-5, 2e-5};

TEST(Rglru, TwinsFollowTheEquation) {
  for (const int64_t D : {2, 33, 96}) {
    for (const bool prefill : {false, true}) {
      const Inputs in = RandomInputs(564, D);
      const std::vector<Segment> segments = {{3, 0, 1, 0, prefill}, {0, 1, 63, 0, prefill}, {4, 64, 500, 0, prefill}};
      Problem<double> truth(in);
      RglruRef<double>(truth.Args(segments));
      Problem<float> plain(in);
      RglruRef<float>(plain.Args(segments));
      EXPECT_TRUE(Close(plain.y.values(), truth.y.values(), kFloat));
      ForEachTwin([&] {
        Problem<float> run(in);
        run.Twin(segments);
        EXPECT_TRUE(Close(run.y.values(), truth.y.values(), kFloat));
        for (const int32_t slot : {0, 3, 4}) {
          EXPECT_TRUE(Close(run.h.values(slot), truth.h.values(slot), kFloat)) << slot;
        }
        EXPECT_TRUE(std::isnan(run.h.values(1)[0]));  // not named
      });
    }
  }
}

// On a device a prompt's rows are summed otherwise than decodes, so there between chunks alone.
TEST(Rglru, CutsBetweenChunksKeepTheBits) {
  const Inputs in = RandomInputs(300, 33);
  ForEachTwin([&] {
    Problem<float> whole(in), cut(in);
    whole.Twin({{2, 0, 300, 0, true}});
    cut.Twin({{2, 0, 64, 0, true}});
    cut.Twin({{2, 64, 192, 64, true}});
    cut.Twin({{2, 256, 44, 256, true}});
    EXPECT_EQ(cut.y.values(), whole.y.values());
    EXPECT_EQ(cut.h.values(2), whole.h.values(2));
  });
}

TEST(Rglru, DecodesKeepTheBitsOfAnyCut) {
  const Inputs in = RandomInputs(100, 33);
  ForEachTwin([&] {
    Problem<float> whole(in), cut(in);
    whole.Twin({{2, 0, 100, 0, false}});
    cut.Twin({{2, 0, 37, 0, false}});
    for (int32_t t = 37; t < 100; ++t) cut.Twin({{2, t, 1, t, false}});
    EXPECT_EQ(cut.y.values(), whole.y.values());
    EXPECT_EQ(cut.h.values(2), whole.h.values(2));
  });
}

TEST(Rglru, OutputMayBeTheInput) {
  const Inputs in = RandomInputs(10, 33);
  ForEachTwin([&] {
    Problem<float> apart(in), in_place(in);
    apart.Twin({{2, 0, 10, 0, true}});
    const std::vector<Segment> segments = {{2, 0, 10, 0, true}};
    RglruArgs args = in_place.Args(segments);
    args.y = args.x;
    in_place.Twin(args);
    EXPECT_EQ(in_place.x.values(), apart.y.values());
  });
}

}  // namespace
}  // namespace barista
