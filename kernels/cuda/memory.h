// Owners of CUDA memory and events; they free on the thread that destroys them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/buffer.h"

namespace barista {

// Device memory, zeroed, and zeroed again before it is given back: what a session held is nobody else's. Error:
// RESOURCE_EXHAUSTED naming `what` and the bytes.
absl::StatusOr<Buffer> AllocateDevice(size_t bytes, absl::string_view what);

// Bytes of device memory that this process has allocated so.
int64_t DeviceBytes();

// Host memory that a device copies from and to without a detour. Error: as above.
absl::StatusOr<Buffer> AllocatePinned(size_t bytes, absl::string_view what);

// Done when it returns. Error: INTERNAL naming `what`.
absl::Status CopyToDevice(void* to, const void* from, size_t bytes, absl::string_view what);

}  // namespace barista
