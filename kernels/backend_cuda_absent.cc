#include "kernels/backend_cuda.h"

namespace barista {

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const BackendOptions&) {
  return absl::FailedPreconditionError("backend cuda: this build has no CUDA backend");
}

int CudaDeviceCount() { return 0; }

}  // namespace barista
