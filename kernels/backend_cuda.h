// The seam where the cuda backend joins: a build links either backend_cuda_absent.cc or the real one.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace barista {

// Error: FAILED_PRECONDITION where this build or machine has no CUDA.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const BackendOptions& options);

}  // namespace barista
