// The tensor cores' product of bf16 tiles, m16n8k16: d [16, 8] += a [16, 16] b [16, 8], sums in float, spread over the
// lanes of a warp as PTX's mma.sync.m16n8k16 has them. With r = lane / 4 and c = 2 (lane % 4):
//   a: x (r, c..c+1)  y (r + 8, c..c+1)  z (r, c + 8..c + 9)  w (r + 8, c + 8..c + 9)
//   b: x (c..c+1, r)  y (c + 8..c + 9, r)        d: 0 (r, c)  1 (r, c + 1)  2 (r + 8, c)  3 (r + 8, c + 1)
#pragma once

#include <bit>

#include "kernels/cuda/device.cuh"

namespace barista {

__device__ inline float LowBf16(uint32_t pair) { return std::bit_cast<float>(pair << 16); }
__device__ inline float HighBf16(uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000u); }

// sum + the products of two pairs.
__device__ inline float AddPair(float sum, uint32_t a, uint32_t b) {
  return sum + LowBf16(a) * LowBf16(b) + HighBf16(a) * HighBf16(b);
}

// Two floats as bf16, rounded to nearest.
__device__ inline uint32_t PackBf16(float low, float high) {
#ifdef __CUDA_ARCH__
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return uint32_t{ToBFloat16(low).bits} | uint32_t{ToBFloat16(high).bits} << 16;
#endif
}

// Two floats as N pairs of bf16 that add up to them, the largest first: two terms leave less than 2^-17 of a float out,
// three nothing. What is not finite becomes NaN.
template <int N>
__device__ void SplitBf16(float low, float high, uint32_t (&terms)[N]) {
#pragma unroll
  for (int n = 0; n < N; ++n) {
    terms[n] = PackBf16(low, high);
    low -= LowBf16(terms[n]);
    high -= HighBf16(terms[n]);
  }
}

// By shuffles, on any device. The same sums in an order of its own.
__device__ inline void MmaBf16Portable(float (&d)[4], uint4 a, uint2 b) {
  const int row = Lane() / 4 * 4, column = Lane() % 4 * 8;
  const Lanes<uint64_t> low(uint64_t{a.y} << 32 | a.x), high(uint64_t{a.w} << 32 | a.z),
      right(uint64_t{b.y} << 32 | b.x);
  for (int i = 0; i < 4; ++i) {
    const uint64_t left0 = low[row + i], left1 = high[row + i];
    for (int j = 0; j < 2; ++j) {
      const uint64_t b01 = right[column + 4 * j + i];
      for (int half = 0; half < 2; ++half) {
        float& sum = d[2 * half + j];
        sum = AddPair(sum, static_cast<uint32_t>(left0 >> (32 * half)), static_cast<uint32_t>(b01));
        sum = AddPair(sum, static_cast<uint32_t>(left1 >> (32 * half)), static_cast<uint32_t>(b01 >> 32));
      }
    }
  }
}

__device__ inline void MmaBf16(float (&d)[4], uint4 a, uint2 b) {
#ifdef __CUDA_ARCH__
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
#else
  MmaBf16Portable(d, a, b);
#endif
}

// large + small += a b, both in terms as SplitBf16 makes them, less the products as small as what the longer split
// leaves out. Only the leading product enters `large`: tensor cores do not round a sum but cut it, so the fewer
// additions at a sum's full size, the better.
template <int A, int B>
__device__ void MmaTerms(float (&large)[4], float (&small)[4], const uint4 (&a)[A], const uint2 (&b)[B]) {
  constexpr int kOrders = A > B ? A : B;
#pragma unroll
  for (int order = kOrders - 1; order >= 1; --order) {
#pragma unroll
    for (int i = 0; i < A; ++i) {
      if (order - i >= 0 && order - i < B) MmaBf16(small, a[i], b[order - i]);
    }
  }
  MmaBf16(large, a[0], b[0]);
}

}  // namespace barista
