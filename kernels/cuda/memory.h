// Owners of CUDA memory and events; they free on the thread that destroys them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/buffer.h"

namespace barista {

// Device memory, of the card that the thread is bound to (current_device.h): zeroed, and zeroed again before it is
// given back, on any thread: what a session held is nobody else's. Error: RESOURCE_EXHAUSTED naming `what` and the
// bytes.
absl::StatusOr<Buffer> AllocateDevice(size_t bytes, absl::string_view what);

// Bytes that this thread has allocated so, less what it gave back: others' do not count in what a call took.
int64_t DeviceBytes();

// Host memory that a device copies from and to without a detour. Error: as above.
absl::StatusOr<Buffer> AllocatePinned(size_t bytes, absl::string_view what);

// To the thread's device. Done when it returns. Error: INTERNAL naming `what`.
absl::Status CopyToDevice(void* to, const void* from, size_t bytes, absl::string_view what);

}  // namespace barista
