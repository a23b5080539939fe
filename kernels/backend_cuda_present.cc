#include "kernels/backend_cuda.h"

namespace barista {

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const BackendOptions& options) {
  return CudaBackend::Create(options);
}

int CudaDeviceCount() { return CudaBackend::CountDevices(); }

}  // namespace barista
