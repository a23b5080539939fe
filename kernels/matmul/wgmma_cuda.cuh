// The tensor cores' product of a warpgroup, wgmma.m64n128k16 of sm_90a: each of four warps brings a tile of 16 outputs
// in registers, as mma_cuda.cuh has them, and multiplies it with the same 16 tiles of 8 rows, which the tensor cores
// read from shared memory themselves. The sums lie in the lanes as those of 16 mma.m16n8k16. It is done when it was
// waited for; until then nobody touches what it reads and writes.
//
// Elsewhere these are portable: the same products, one after the other.
#pragma once

#include <cstdint>

#include "kernels/matmul/mma_cuda.cuh"

namespace barista {

inline constexpr int kGroupTiles = 16;  // of rows, that one instruction multiplies

// Whether this code was compiled for the instruction, or stands in for it.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !defined(__CUDA_ARCH__)
inline constexpr bool kHasWarpgroups = true;
#else
inline constexpr bool kHasWarpgroups = false;
#endif

// Where the instruction finds tiles as PackedRows has them, `stride` bytes apart: halves of 8 columns 128 bytes apart,
// no swizzling (PTX, "Matrix Descriptor Format").
__device__ inline uint64_t DescribeTiles(const void* shared, int stride) {
  const auto encoded = [](uint64_t bytes) { return (bytes & 0x3ffff) >> 4; };
  return encoded(__cvta_generic_to_shared(shared)) | encoded(128) << 16 | encoded(static_cast<uint64_t>(stride)) << 32;
}

__device__ inline void WgmmaBf16Portable(float (&d)[kGroupTiles][4], uint4 a, uint64_t tiles) {
  const auto field = [tiles](int bit) { return (tiles >> bit & 0x3fff) << 4; };
  const auto* first = static_cast<const std::byte*>(__cvta_shared_to_generic(field(0)));
  for (int b = 0; b < kGroupTiles; ++b) {
    const auto word = [&](uint64_t half) {
      return reinterpret_cast<const uint32_t*>(first + static_cast<uint64_t>(b) * field(32) + half * field(16))[Lane()];
    };
    MmaBf16Portable(d[b], a, {word(0), word(1)});
  }
}

// d += a times the tiles, begun.
__device__ inline void WgmmaBf16(float (&d)[kGroupTiles][4], uint4 a, uint64_t tiles) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "
      "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "
      "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
      "%62, %63 "
      "}, {%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]),
        "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]),
        "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]),
        "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
        "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),
        "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]), "+f"(d[10][1]),
        "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]), "+f"(d[12][0]),
        "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]), "+f"(d[13][3]),
        "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]), "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]),
        "+f"(d[15][3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(tiles));
#else
  WgmmaBf16Portable(d, a, tiles);
#endif
}

// Before the first of several, and after registers that they read or write were touched.
__device__ inline void WgmmaFence() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
// What was begun since the last of these is one batch.
__device__ inline void WgmmaCommit() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Waits for all batches but the last kButLast.
template <int kButLast>
__device__ void WgmmaWait() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kButLast) : "memory");
#endif
}
// Makes what this thread brought to shared memory visible to the tensor cores; a barrier follows.
__device__ inline void FenceForTensorCores() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

}  // namespace barista
