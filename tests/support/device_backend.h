// The cuda backend for tests: on a card, or in the host shim, whichever the build has.
#pragma once

#include <memory>

#include "kernels/backend_cuda.h"
#include "tests/support/device.h"

namespace barista::test {

// As MakeBackend, but kind cuda is the one that the test program was linked with.
inline std::unique_ptr<Backend> MakeBackendUnderTest(const BackendOptions& options) {
  absl::StatusOr<std::unique_ptr<Backend>> backend =
      options.kind == "cuda" ? CudaBackend::Create(options) : MakeBackend(options);
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

}  // namespace barista::test
