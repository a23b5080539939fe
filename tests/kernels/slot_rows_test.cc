#include "kernels/slot_rows/slot_rows.h"

#include <gtest/gtest.h>

#include "tests/support/device.h"
#include "tests/support/random_data.h"

namespace barista {
namespace {

using test::Matrix;

TEST(SlotRows, TheLastRowOfEachSegmentGoesToItsSlotAndComesBack) {
  constexpr int64_t kWidth = 301;
  const std::vector<Segment> segments = {
      {.slot = 5, .row = 0, .rows = 3}, {.slot = 2, .row = 3, .rows = 1}, {.slot = 0, .row = 4, .rows = 2}};
  const std::vector<int32_t> slots = {2, 0, 5, 2};
  const std::vector<float> values = test::Random(95).Normal(6 * kWidth);
  for (const bool on_device : {false, true}) {
    if (on_device && !test::HasDevice()) continue;
    Matrix<float> x(6, kWidth, values), back(4, kWidth);
    test::Slots state(7, kWidth, DType::kF32, -1);
    KeepLastRowsArgs keep = {.segments = segments, .x = x.view(), .to = state.array()};
    LoadSlotRowsArgs load = {.slots = slots, .from = state.array(), .x = back.view()};
    if (on_device) {
      test::Device device(x, back, state);
      device.MoveAll(keep.x, keep.to, load.from, load.x);
      KeepLastRowsCuda(keep, device.Step(segments), device.queue());
      LoadSlotRowsCuda(load, device.queue());
    } else {
      KeepLastRowsHost(keep);
      LoadSlotRowsHost(load);
    }
    const std::vector<double> want = x.values(), got = back.values();
    const int64_t rows[] = {3, 5, 2, 3};
    for (int64_t i = 0; i < 4 * kWidth; ++i) EXPECT_EQ(got[i], want[rows[i / kWidth] * kWidth + i % kWidth]);
    EXPECT_EQ(state.values(1), std::vector<double>(kWidth, -1));  // not named
  }
}

TEST(SlotRows, FillWritesTheElementTypeAndNoMore) {
  for (const bool on_device : {false, true}) {
    if (on_device && !test::HasDevice()) continue;
    for (const DType dtype : {DType::kF64, DType::kF32, DType::kBF16, DType::kF16}) {
      std::vector<std::byte> data(1001 * SizeOf(dtype), std::byte{7});
      if (on_device) {
        test::Device device(data);
        FillCuda(device.At(data.data()), dtype, 1000, -1.5, device.queue());
      } else {
        FillHost(data.data(), dtype, 1000, -1.5);
      }
      for (size_t i = 0; i < 1000; ++i) EXPECT_EQ(LoadAsDouble(data.data(), dtype, i), -1.5);
      EXPECT_EQ(data.back(), std::byte{7});
    }
  }
}

}  // namespace
}  // namespace barista
