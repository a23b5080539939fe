#include "kernels/attend/attend.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/backend_ref.h"
#include "tests/support/compare.h"
#include "tests/support/device.h"
#include "tests/support/packed_rows.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Matrix;
using test::Random;
using test::Slots;

constexpr int32_t kSlots = 9;

struct Shape {
  int64_t H, G, E, M, window;  // M 0: no latents; window 0: none
  bool vapor, rope;
  double softcap;
  DType ring;
};

// A layer's inputs, outputs and states in one element type.
template <class T>
struct Problem {
  Problem(Shape s, int64_t rows, Random random)
      : shape(s),
        local(s.M > 0 && s.window > 0 ? 1 : 0),
        p(rows, s.H * (s.M + local), random.Normal(rows * s.H * (s.M + local))),
        latent_k(rows, s.G * s.M, random.Normal(rows * s.G * s.M, 3)),
        q(rows, s.H * s.E, random.Normal(rows * s.H * s.E)),
        k(rows, s.G * s.E, random.Normal(rows * s.G * s.E)),
        v(rows, s.G * s.E, random.Normal(rows * s.G * s.E)),
        turned(rows, s.G * s.E),
        y(rows, s.H * s.E),
        max(kSlots, s.G * s.M, DTypeOf<T>::value, -std::numeric_limits<double>::infinity()),
        alpha(kSlots, s.G * s.M, DTypeOf<T>::value),
        vtilde(kSlots, s.G * s.M * s.E, DTypeOf<T>::value),
        keys(kSlots, s.window * s.G * s.E, s.ring),
        values(kSlots, s.window * s.G * s.E, s.ring) {}

  // Of a step of positions.size() rows.
  AttendArgs Args(Segments segments, absl::Span<const int64_t> positions) {
    const auto of_step = [&](Matrix<T>& x) { return x.view().Slice(0, static_cast<int64_t>(positions.size())); };
    AttendArgs args = {.positions = positions,
                       .theta = 1000,
                       .p_scale = 0.7,
                       .turn_values = shape.vapor,
                       .turn_queries = shape.rope,
                       .turned = of_step(turned)};
    if (shape.M > 0) {
      args.latte = {.segments = segments,
                    .heads = shape.H,
                    .kv_heads = shape.G,
                    .head_dim = shape.E,
                    .latents = shape.M,
                    .local = local,
                    .p = of_step(p),
                    .k = of_step(latent_k),
                    .k_scale = 0.7,
                    .v = of_step(v),
                    .y = of_step(y),
                    .max = max.array(),
                    .alpha = alpha.array(),
                    .vtilde = vtilde.array()};
    }
    if (shape.window > 0) {
      args.window = {.segments = segments,
                     .heads = shape.H,
                     .kv_heads = shape.G,
                     .head_dim = shape.E,
                     .window = shape.window,
                     .capacity = shape.window,
                     .scale = 0.3,
                     .softcap = shape.softcap,
                     .q = of_step(q),
                     .k = of_step(k),
                     .v = of_step(v),
                     .weight = local == 1 ? of_step(p) : Rows{},
                     .weight_stride = shape.M + 1,
                     .y = of_step(y),
                     .keys = keys.array(),
                     .values = values.array()};
    }
    return args;
  }

  Shape shape;
  int64_t local;
  Matrix<T> p, latent_k, q, k, v, turned, y;
  Slots max, alpha, vtilde, keys, values;
};

std::vector<int64_t> PositionsOf(Segments segments) {
  std::vector<int64_t> positions(segments.back().row + segments.back().rows);
  for (const Segment& s : segments) {
    for (int64_t i = 0; i < s.rows; ++i) positions[s.row + i] = s.position + i;
  }
  return positions;
}

void OnRef(Problem<double>& problem, Segments segments) {
  const std::vector<int64_t> positions = PositionsOf(segments);
  MakeRefBackend()->Attend(problem.Args(segments, positions));
}

void OnDevice(Problem<float>& x, Segments segments) {
  const std::vector<int64_t> positions = PositionsOf(segments);
  AttendArgs args = x.Args(segments, positions);
  test::Device device(x.p, x.latent_k, x.q, x.k, x.v, x.turned, x.y, x.max, x.alpha, x.vtilde, x.keys, x.values,
                      args.positions);
  device.MoveAll(args.positions, args.turned);
  if (args.latte.has_value()) {
    LatteArgs& a = *args.latte;
    device.MoveAll(a.p, a.k, a.v, a.y, a.max, a.alpha, a.vtilde);
  }
  if (args.window.has_value()) {
    WindowAttentionArgs& a = *args.window;
    device.MoveAll(a.q, a.k, a.v, a.weight, a.y, a.keys, a.values);
  }
  const DeviceStep& step = device.Step(segments);
  Buffer angles = *AllocateDevice(positions.size() * x.shape.E * sizeof(float), "a test");
  float* of_step = reinterpret_cast<float*>(angles.data());
  AnglesCuda(args.positions, x.shape.E, args.theta, of_step, device.queue());
  const int64_t workspace = step.chunk_count * LatteWorkspaceBytes(x.shape.G, x.shape.M, x.shape.E);
  const Rows y = x.y.view().Slice(0, static_cast<int64_t>(positions.size()));
  const test::PackedBuffer packed(y.rows, y.cols);
  const bool packs = step.prefill_runs == 0;
  AttendCuda(args, step, of_step, device.Workspace(std::max<int64_t>(workspace, 16)),
             packs ? packed.target() : PackedRows(), device.queue());
  if (packs) {
    EXPECT_TRUE(packed.Holds(y, device));
  }
}

// As the parts' own tests; turned keys that a ring keeps in bf16 may fall to either side of a rounding boundary, 2^-9
// of a key and so of a score's terms.
test::Tolerance ToleranceOf(const Shape& s) {
  if (s.rope && s.ring == DType::kBF16) return {2e-3, 2e-3};
  if (s.rope && s.ring == DType::kF16) return {3e-4, 3e-4};
  return {3e-5, 3e-5};
}

class AttendShapes : public ::testing::TestWithParam<Shape> {};

// Steps that mix decodes, replays, chains of drafts and prefills: every row against the equation, and the states by
// what later steps read of them.
TEST_P(AttendShapes, DeviceFollowsTheEquationInStepsOfAllKinds) {
  if (!test::HasDevice()) return;  // a build for cards on a machine without one
  const Shape shape = GetParam();
  const std::vector<Segment> first = {{.slot = 3, .row = 0, .rows = 1, .position = 0},
                                      {.slot = 0, .row = 1, .rows = 70, .position = 0, .prefill = true},
                                      {.slot = 7, .row = 71, .rows = 5, .position = 0},
                                      {.slot = 5, .row = 76, .rows = 64, .position = 0, .prefill = true}};
  const std::vector<Segment> second = {
      {.slot = 5, .row = 0, .rows = 1, .position = 64},
      {.slot = 0, .row = 1, .rows = 1, .position = 70},
      {.slot = 2, .row = 2, .rows = 1, .position = 71, .from = 0, .stale_begin = 0, .stale_end = 71},
      {.slot = 7, .row = 3, .rows = 1, .position = 5},
      {.slot = 1, .row = 4, .rows = 10, .position = 0, .prefill = true},
      {.slot = 3, .row = 14, .rows = 1, .position = 1}};
  const std::vector<Segment> third = {{.slot = 2, .row = 0, .rows = 1, .position = 72},
                                      {.slot = 1, .row = 1, .rows = 1, .position = 10}};
  for (const uint64_t schedule : {0, 2}) {
    Problem<double> truth(shape, 140, Random(5));
    Problem<float> run(shape, 140, Random(5));
#ifdef BARISTA_CUDA_SHIM
    shim::SetSchedule(schedule);
#endif
    for (const std::vector<Segment>* segments : {&first, &second, &third}) {
      SCOPED_TRACE(::testing::Message() << segments->size() << " segments, schedule " << schedule);
      OnRef(truth, *segments);
      OnDevice(run, *segments);
      EXPECT_TRUE(test::Close(run.y.values(), truth.y.values(), ToleranceOf(shape)));
      EXPECT_TRUE(test::Close(run.p.values(), truth.p.values(), {1e-6, 1e-5}));
    }
  }
#ifdef BARISTA_CUDA_SHIM
  shim::SetSchedule(0);
#endif
}

INSTANTIATE_TEST_SUITE_P(All, AttendShapes,
                         ::testing::Values(Shape{4, 4, 16, 8, 24, true, true, 0, DType::kBF16},  // Macchiato
                                           Shape{4, 2, 24, 5, 7, true, true, 20,
                                                 DType::kF16},  // two query heads a group, softcap
                                           Shape{6, 1, 8, 33, 130, false, true, 0, DType::kF32},  // six
                                           Shape{3, 3, 10, 7, 65, true, true, 0, DType::kBF16},  // heads at any address
                                           Shape{4, 2, 12, 6, 0, true, false, 0, DType::kF32},   // latents alone
                                           Shape{2, 1, 6, 3, 0, false, false, 0, DType::kF32},   //
                                           Shape{4, 2, 16, 0, 40, false, true, 0, DType::kF16},  // a window alone
                                           Shape{2, 2, 32, 0, 9, false, false, 5, DType::kBF16}));

// The same token in the same state, whatever else is in the step.
TEST(Attend, NeighboursInTheStepDoNotChangeTheBits) {
  if (!test::HasDevice()) return;  // a build for cards on a machine without one
  const Shape shape = {4, 2, 16, 8, 24, true, true, 0, DType::kBF16};
  const std::vector<Segment> alone = {{.slot = 3, .row = 0, .rows = 1, .position = 9}};
  const std::vector<Segment> among = {{.slot = 3, .row = 0, .rows = 1, .position = 9},
                                      {.slot = 1, .row = 1, .rows = 66, .position = 0, .prefill = true},
                                      {.slot = 6, .row = 67, .rows = 1, .position = 100}};
  Problem<float> one(shape, 68, Random(6)), many(shape, 68, Random(6));
  OnDevice(one, alone);
  OnDevice(many, among);
  const auto row = [](const Problem<float>& x) {
    const std::vector<double> y = x.y.values();
    return std::vector<double>(y.begin(), y.begin() + x.shape.H * x.shape.E);
  };
  EXPECT_EQ(row(one), row(many));
  EXPECT_EQ(one.vtilde.values(3), many.vtilde.values(3));
  EXPECT_EQ(one.keys.values(3), many.keys.values(3));
}

}  // namespace
}  // namespace barista
