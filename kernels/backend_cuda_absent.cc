#include "kernels/backend_cuda.h"

namespace barista {

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const BackendOptions&) {
  return absl::FailedPreconditionError("this build has no CUDA backend; configure it with BARISTA_CUDA=ON");
}

}  // namespace barista
