// Memory of a device that a kernel packs rows into, and the rows that lie there.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/packed_rows.h"
#include "kernels/dtype.h"
#include "tests/support/device.h"

namespace barista::test {

class PackedBuffer {
 public:
  PackedBuffer(int64_t rows, int64_t cols)
      : tiles_in_((cols + 15) / 16), memory_(*AllocateDevice((rows + 7) / 8 * tiles_in_ * 256, "a test")) {}

  PackedRows target() const { return {reinterpret_cast<BFloat16*>(memory_.data()), static_cast<int>(tiles_in_)}; }

  // The bits of y's elements there are those of y rounded.
  ::testing::AssertionResult Holds(const Rows& y, Device& device) const {
    std::vector<BFloat16> packed(memory_.size() / sizeof(BFloat16));
    EXPECT_EQ(
        cudaMemcpyAsync(packed.data(), memory_.data(), memory_.size(), cudaMemcpyDeviceToHost, device.queue().stream()),
        cudaSuccess);
    std::vector<float> row(y.cols);
    for (int64_t r = 0; r < y.rows; ++r) {
      EXPECT_EQ(cudaMemcpyAsync(row.data(), device.At(y.row<float>(r)), y.cols * sizeof(float), cudaMemcpyDeviceToHost,
                                device.queue().stream()),
                cudaSuccess);
      EXPECT_EQ(cudaStreamSynchronize(device.queue().stream()), cudaSuccess);
      for (int64_t c = 0; c < y.cols; ++c) {
        const int64_t tile = r / 8 * tiles_in_ + c / 16, half = c % 16 / 8;
        const BFloat16 found = packed[((tile * 2 + half) * 8 + r % 8) * 8 + c % 8];
        if (found.bits != ToBFloat16(row[c]).bits)
          return ::testing::AssertionFailure() << "row " << r << ", column " << c;
      }
    }
    return ::testing::AssertionSuccess();
  }

 private:
  int64_t tiles_in_;
  Buffer memory_;
};

}  // namespace barista::test
