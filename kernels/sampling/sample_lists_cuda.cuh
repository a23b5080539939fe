// A step's lists as kernels read them.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/sampling/sample_row_cuda.h"

namespace barista {

template <class T>
__device__ const T* ListAt(const DeviceSampleLists& head, int64_t offset) {
  return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(&head) + offset);
}

}  // namespace barista
