// Which card a thread's CUDA calls go to: allocations, launches, and what is queued on no stream. CUDA refuses a launch
// on a stream of another card.
#pragma once

#include <cuda_runtime.h>

namespace barista {

inline thread_local int bound_device = -1;  // -1: none so far

// For this thread's calls from now on.
inline cudaError_t BindDevice(int device) {
  const cudaError_t error = cudaSetDevice(device);
  if (error == cudaSuccess) bound_device = device;
  return error;
}

// For the calls of a scope. A thread that was bound to no card is left where it is: to go back would be to card 0, and
// begin a context there that nobody needs.
class DeviceScope {
 public:
  explicit DeviceScope(int device) : error_(cudaSetDevice(device)) {}
  ~DeviceScope() {
    if (bound_device >= 0) cudaSetDevice(bound_device);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  cudaError_t error() const { return error_; }

 private:
  cudaError_t error_;
};

}  // namespace barista
