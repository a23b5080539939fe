#include <cuda_runtime.h>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/current_device.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"

namespace barista {
namespace {

absl::Status Annotate(cudaError_t error, absl::string_view kind, size_t bytes, absl::string_view what) {
  return ToStatus(error, absl::StrCat(bytes, " bytes of ", kind, " memory for ", what));
}

thread_local int64_t device_bytes = 0;

void ReleaseDevice(std::byte* data, size_t bytes) {
  cudaPointerAttributes place = {};
  if (cudaPointerGetAttributes(&place, data) == cudaSuccess) {  // else the device is broken
    const DeviceScope scope(place.device);
    cudaDeviceSynchronize();  // kernels of other streams may still write
    cudaMemsetAsync(data, 0, bytes, nullptr);
    cudaStreamSynchronize(nullptr);
  }
  cudaFree(data);
  device_bytes -= static_cast<int64_t>(bytes);
}

}  // namespace

int64_t DeviceBytes() { return device_bytes; }

absl::StatusOr<Buffer> AllocateDevice(size_t bytes, absl::string_view what) {
  if (bytes == 0) return Buffer();
  void* data = nullptr;
  cudaError_t error = cudaMalloc(&data, bytes);
  if (error != cudaSuccess) return Annotate(error, "device", bytes, what);
  device_bytes += static_cast<int64_t>(bytes);
  Buffer buffer(static_cast<std::byte*>(data), bytes, ReleaseDevice);
  error = cudaMemsetAsync(data, 0, bytes, nullptr);
  if (error == cudaSuccess) error = cudaStreamSynchronize(nullptr);
  if (error != cudaSuccess) return Annotate(error, "device", bytes, what);
  return buffer;
}

absl::StatusOr<Buffer> AllocatePinned(size_t bytes, absl::string_view what) {
  if (bytes == 0) return Buffer();
  void* data = nullptr;
  const cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocDefault);
  if (error != cudaSuccess) return Annotate(error, "pinned", bytes, what);
  return Buffer(static_cast<std::byte*>(data), bytes, [](std::byte* p, size_t) { cudaFreeHost(p); });
}

absl::Status CopyToDevice(void* to, const void* from, size_t bytes, absl::string_view what) {
  cudaError_t error = cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, nullptr);
  if (error == cudaSuccess) error = cudaStreamSynchronize(nullptr);
  return ToStatus(error, what);
}

}  // namespace barista
