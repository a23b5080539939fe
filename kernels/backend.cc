#include "kernels/backend.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/backend_cpu.h"
#include "kernels/backend_cuda.h"
#include "kernels/backend_ref.h"

namespace barista {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options) {
  if (options.kind == "auto") {
    absl::StatusOr<std::unique_ptr<Backend>> cuda = MakeCudaBackend(options);
    if (!absl::IsFailedPrecondition(cuda.status())) return cuda;
  }
  if (options.kind == "auto" || options.kind == "cpu") return CpuBackend::Create(options);
  if (options.kind == "ref") return MakeRefBackend();
  if (options.kind == "cuda") return MakeCudaBackend(options);
  return absl::InvalidArgumentError(
      absl::StrCat("backend \"", options.kind, "\" is unknown; one of auto, cpu, ref, cuda is wanted"));
}

int DeviceCount(const BackendOptions& options) {
  return options.kind == "cuda" || options.kind == "auto" ? std::max(CudaDeviceCount(), 1) : 1;
}

}  // namespace barista
