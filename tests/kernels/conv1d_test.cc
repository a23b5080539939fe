#include "kernels/conv1d/conv1d.h"

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

struct Inputs {
  int64_t rows, D, width;
  std::vector<float> x, weight, bias;
};

Inputs RandomInputs(int64_t rows, int64_t D, int64_t width) {
  Random random(41);
  return {rows, D, width, random.Normal(rows * D), random.Normal(width * D), random.Normal(D)};
}

template <class T>
struct Problem {
  explicit Problem(const Inputs& in)
      : width(in.width),
        weight(in.weight.begin(), in.weight.end()),
        bias(in.bias.begin(), in.bias.end()),
        x(in.rows, in.D, in.x),
        y(in.rows, in.D),
        inputs(5, (width - 1) * in.D, DTypeOf<T>::value, std::numeric_limits<double>::quiet_NaN()) {}

  Conv1dArgs Args(Segments segments) {
    return {.segments = segments,
            .width = width,
            .weight = weight.data(),
            .bias = bias.data(),
            .x = x.view(),
            .y = y.view(),
            .inputs = width > 1 ? inputs.array() : SlotArray{}};
  }
  void Ref(Segments segments) { Conv1dRef<T>(Args(segments)); }
  void Twin(Segments segments) {
    Conv1dArgs args = Args(segments);
    if (test::OnDevice()) {
      test::Device device(weight, bias, x, y, inputs);
      device.MoveAll(args.weight, args.bias, args.x, args.y, args.inputs);
      return Conv1dCuda(args, device.Step(segments), device.queue());
    }
    const int64_t D = x.view().cols, middle = D / 2;
    Conv1dCpu(args, 0, middle);
    Conv1dCpu(args, middle, D);
  }

  int64_t width;
  std::vector<T> weight, bias;
  Matrix<T> x, y;
  Slots inputs;
};

constexpr test::Tolerance kFloat{1e-6, 1e-6};  // float32 sums of at most nine products

// The state starts as NaN: inputs before position 0 count as zero and are never read.
TEST(Conv1d, TwinsFollowTheEquation) {
  for (const int64_t width : {1, 2, 4, 8}) {
    for (const int64_t D : {2, 33, 96}) {
      const Inputs in = RandomInputs(564, D, width);
      const std::vector<Segment> segments = {{3, 0, 1, 0, true}, {0, 1, 63, 0, true}, {4, 64, 500, 0, true}};
      Problem<double> truth(in);
      truth.Ref(segments);
      Problem<float> plain(in);
      plain.Ref(segments);
      EXPECT_TRUE(Close(plain.y.values(), truth.y.values(), kFloat));
      ForEachTwin([&] {
        Problem<float> run(in);
        run.Twin(segments);
        EXPECT_TRUE(Close(run.y.values(), truth.y.values(), kFloat));
        for (const int32_t slot : {0, 1, 3, 4}) {
          EXPECT_TRUE(Close(run.inputs.values(slot), truth.inputs.values(slot), {})) << slot;
        }
      });
    }
  }
}

TEST(Conv1d, AnyCutKeepsTheBits) {
  for (const int64_t width : {1, 2, 4, 8}) {
    const Inputs in = RandomInputs(100, 33, width);
    ForEachTwin([&] {
      Problem<float> whole(in), cut(in);
      whole.Twin({{2, 0, 100, 0, true}});
      cut.Twin({{2, 0, 3, 0, true}});
      cut.Twin({{2, 3, 34, 3, true}});
      for (int32_t t = 37; t < 100; ++t) cut.Twin({{2, t, 1, t, false}});
      EXPECT_EQ(cut.y.values(), whole.y.values());
      EXPECT_EQ(cut.inputs.values(2), whole.inputs.values(2));
    });
  }
}

}  // namespace
}  // namespace barista
