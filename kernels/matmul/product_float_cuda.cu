// y = x W^T, a warp four rows of the weight and up to four of x; a lane reads 16 bytes of each row of the weight at a
// time.
//
// Bytes: the weight, 4 or 2 an element, once for every four rows of x, from L2 after the first. Operations: 2 in out
// rows on the scalar cores: few rows are bound by bytes, many by operations.
#include "kernels/matmul/product_float_cuda.h"

namespace barista {
namespace {

constexpr int kThreads = 256;

template <class T>
struct alignas(16) Piece {
  static constexpr int kWidth = 16 / sizeof(T);
  T of[kWidth];
};

// Of one row and output, whose weights have no scale; gated with their gate and up.
__device__ void Finish(const Ending& e, int64_t row, int64_t o, float sum, float up) {
  if (row >= e.rows || o >= e.out) return;
  float& place = e.y.row(row)[o];
  const float value = sum + e.bias[o];
  const float result = e.gated ? e.Gated(value, up + e.bias[e.out + o]) : e.Plain(value, e.accumulate ? place : 0.0f);
  place = result;
  Put(e.packed, row, o, result);
}

template <class T, int R>
__global__ void __launch_bounds__(kThreads) FloatKernel(const __grid_constant__ Products products) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  constexpr int kWidth = Piece<T>::kWidth;
  const Product& p = products.Of(blockIdx.x);
  const int unit = (static_cast<int>(blockIdx.x) - p.first_block) * Warps() + WarpIndex();
  const int64_t first = int64_t{blockIdx.y} * R;
  if (unit >= p.units || first >= p.ending.rows) return;
  const Piece<T>* weight =
      reinterpret_cast<const Piece<T>*>(static_cast<const T*>(p.weight) + unit * kUnitRows * p.stride);
  const int64_t pieces = p.stride / kWidth;
  float sums[kUnitRows][R] = {};
#pragma unroll 2
  for (int64_t n = Lane(); n < pieces; n += 32) {
    Piece<T> w[kUnitRows];
#pragma unroll
    for (int o = 0; o < kUnitRows; ++o) w[o] = weight[o * pieces + n];
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (first + r >= p.ending.rows) continue;
      const float* x = p.x.row(first + r);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const int64_t at = n * kWidth + i;
        const float value = at < p.in ? x[at] : 0.0f;
#pragma unroll
        for (int o = 0; o < kUnitRows; ++o) sums[o][r] += ToFloat(w[o].of[i]) * value;
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
#pragma unroll
    for (int o = 0; o < kUnitRows; ++o) sums[o][r] = WarpReduce(sums[o][r], Sum());
    if (Lane() != r) continue;
    const int outputs = p.ending.gated ? kUnitRows / 2 : kUnitRows;
#pragma unroll
    for (int o = 0; o < kUnitRows; ++o) {
      if (o < outputs)
        Finish(p.ending, first + r, int64_t{unit} * outputs + o, sums[o][r], sums[(o + 2) % kUnitRows][r]);
    }
  }
}

template <class T, int R>
void Run(Products& products, int64_t rows, CudaQueue& queue) {
  products.Run(queue,
               {.blocks_x = products.Deal(kThreads / 32),
                .blocks_y = CeilDiv<int64_t>(rows, R),
                .threads = kThreads,
                .overlaps = true,
                .name = "product_float"},
               FloatKernel<T, R>);
}

}  // namespace

void RunFloatProducts(Products products, WeightForm form, int64_t rows, CudaQueue& queue) {
  if (form == WeightForm::kF16) {
    rows == 1 ? Run<Float16, 1>(products, rows, queue) : Run<Float16, 4>(products, rows, queue);
  } else {
    rows == 1 ? Run<float, 1>(products, rows, queue) : Run<float, 4>(products, rows, queue);
  }
}

}  // namespace barista
