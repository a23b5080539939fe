// What measuring programs need of a device: calls that are checked by name, arrays that free themselves, random values
// that the host can tell too. Any thread with a device chosen. A call that fails ends the program with exit code 1 and
// one line on stderr: the call, what was wrong, the error's name.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <type_traits>

#include "absl/strings/str_format.h"

namespace barista::bench {

constexpr int kThreads = 256;  // of a block

inline void Check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s (%s)\n", call, cudaGetErrorString(error), cudaGetErrorName(error));
  std::exit(1);
}

#define CHECK_CALL(call) ::barista::bench::Check((call), #call)

// The value at place `i` of every operand, the same on host and device, in [-1, 1). Exact in T; in float it has all 24
// bits, so that a product that rounds its operands to TF32 shows.
template <typename T>
__host__ __device__ T Value(uint64_t i) {
  uint32_t bits = static_cast<uint32_t>(i ^ (i >> 32)) * 0x9e3779b1u;
  bits = (bits ^ (bits >> 15)) * 0x85ebca6bu;
  bits ^= bits >> 13;
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(static_cast<int>(bits >> 8) - (1 << 23)) / static_cast<float>(1 << 23);
  } else {
    return __float2bfloat16(static_cast<float>(static_cast<int>(bits >> 24) - (1 << 7)) / static_cast<float>(1 << 7));
  }
}

template <typename T>
__global__ void Fill(T* to, uint64_t count, uint64_t seed) {
  const uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) to[i] = Value<T>(i + seed);
}

struct Free {
  void operator()(void* memory) const { CHECK_CALL(cudaFree(memory)); }
};

// Values on the device; the owner frees them.
template <typename T>
using Array = std::unique_ptr<T[], Free>;

// `count` values, not set to anything.
template <typename T>
Array<T> Allocate(uint64_t count) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, count * sizeof(T));
  Check(error, absl::StrFormat("cudaMalloc of %.0f MiB", static_cast<double>(count * sizeof(T)) / 1048576).c_str());
  return Array<T>(static_cast<T*>(memory));
}

// Place i holds Value<T>(i + seed).
template <typename T>
Array<T> Random(uint64_t count, uint64_t seed) {
  Array<T> values = Allocate<T>(count);
  Fill<<<static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads>>>(values.get(), count, seed);
  CHECK_CALL(cudaGetLastError());
  return values;
}

}  // namespace barista::bench
