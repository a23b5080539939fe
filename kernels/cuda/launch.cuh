// The one way kernels are launched, with nvcc and in the host shim alike.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/queue.h"
#include "kernels/cuda/status.h"

namespace barista {

struct LaunchShape {
  int64_t blocks_x = 1, blocks_y = 1, blocks_z = 1;
  int threads = 256;  // of a block; a multiple of 32
  size_t shared = 0;  // bytes a block
  // May begin while the launch before it ends: its kernel waits for it (WaitForLaunchBefore).
  bool overlaps = false;
  const char* name = "";  // for errors
};

inline constexpr size_t kSharedWithoutAsking = 48 << 10;  // more is granted a kernel by name

template <class T>
constexpr T CeilDiv(T a, T b) {
  return (a + b - 1) / b;
}
template <class T>
constexpr T RoundUp(T a, T to) {
  return CeilDiv(a, to) * to;
}

// Does nothing on an empty grid or a queue that failed. Arguments are converted to the kernel's parameters.
template <class... Parameters, class... Arguments>
void Launch(CudaQueue& queue, const LaunchShape& shape, void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (!queue.ok() || shape.blocks_x * shape.blocks_y * shape.blocks_z == 0) return;
  cudaError_t error = cudaSuccess;
  if (shape.shared > kSharedWithoutAsking) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared));
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks_x), static_cast<unsigned>(shape.blocks_y),
                        static_cast<unsigned>(shape.blocks_z));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared;
  config.stream = queue.stream();
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = shape.overlaps && queue.launches_overlap() ? 1 : 0;
  if (error == cudaSuccess) error = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (error != cudaSuccess) queue.Fail(ToStatus(error, shape.name));
}

}  // namespace barista
