// The only owners of memory: weights, slot states and workspaces, allocated at start, freed with their owner.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

// Move-only memory of one device. data() is aligned to 64 bytes at least.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::byte* data, size_t size, void (*release)(std::byte*, size_t))
      : data_(data), size_(size), release_(release) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(release_, other.release_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (release_ != nullptr) release_(data_, size_);
  }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  void (*release_)(std::byte*, size_t) = nullptr;
};

// Host memory, zeroed, in 2 MiB pages where the system gives them (they are worth up to a fifth of the read bandwidth);
// pages become resident when first touched. Error: RESOURCE_EXHAUSTED naming `what` and the bytes.
absl::StatusOr<Buffer> AllocateHost(size_t bytes, absl::string_view what);

}  // namespace barista
