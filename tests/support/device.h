// A device for tests of kernels: the card, or the host shim, whichever the build has.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cuda/device_step.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/queue.h"
#include "kernels/view.h"
#include "tests/support/compare.h"

namespace barista::test {

// Whether the code under test now is that for devices.
inline bool& OnDevice() {
  static bool on_device = false;
  return on_device;
}

// The shim takes milliseconds a token: tests then run less of what is long.
#ifdef BARISTA_CUDA_SHIM
inline constexpr bool kDeviceIsSlow = true;
inline constexpr bool kLaunchesOverlap = true;  // it checks that they may
#else
inline constexpr bool kDeviceIsSlow = false;
inline constexpr bool kLaunchesOverlap = false;
#endif

inline bool HasDevice() {
  int devices = 0;
  return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
}

// What kernels are cut for, and more of the card; nothing where there is none.
struct CardHere {
  CardHere() {
    cudaDeviceProp card = {};
    if (!HasDevice() || cudaGetDeviceProperties(&card, 0) != cudaSuccess) return;
    shared_max = card.sharedMemPerBlockOptin;
    has_warpgroups = card.major == 9 && card.minor == 0;
  }
  size_t shared_max = 0;
  bool has_warpgroups = false;
};

// f() for each fast twin of a reference: the CPU's instruction sets, then the device, in the shim with its threads in
// several orders.
template <class F>
void ForEachTwin(const F& f) {
  ForEachIsa(f);
  if (!HasDevice()) return;
  OnDevice() = true;
#ifdef BARISTA_CUDA_SHIM
  for (const uint64_t schedule : {0, 1, 2}) {
    SCOPED_TRACE(testing::Message() << "device, schedule " << schedule);
    shim::SetSchedule(schedule);
    f();
  }
  shim::SetSchedule(0);
#else
  SCOPED_TRACE("device");
  f();
#endif
  OnDevice() = false;
}

// Host memory that a kernel works on.
struct Memory {
  const void* data = nullptr;
  size_t bytes = 0;
};
template <class T, class Allocator>
Memory MemoryOf(const std::vector<T, Allocator>& values) {
  return {values.data(), values.size() * sizeof(T)};
}
// Gaps between the rows included, not behind the last.
inline Memory MemoryOf(const Rows& rows) {
  if (rows.data == nullptr) return {};
  return {rows.data, ((rows.rows - 1) * rows.stride + rows.cols) * SizeOf(rows.dtype)};
}
inline Memory MemoryOf(const Memory& memory) { return memory; }
template <class T>
Memory MemoryOf(absl::Span<const T> span) {
  return {span.data(), span.size() * sizeof(T)};
}
template <class Owner>
Memory MemoryOf(const Owner& owner) {
  return MemoryOf(owner.data());
}

// Copies of host memory on the device; what a kernel did to them comes back when this ends, and nothing may have
// failed.
class Device {
 public:
  template <class... Owners>
  explicit Device(const Owners&... owners) : Device(std::vector<Memory>{MemoryOf(owners)...}) {}
  explicit Device(const std::vector<Memory>& memories) : queue_(nullptr, kLaunchesOverlap) {
    for (const Memory& memory : memories) {
      if (memory.bytes == 0 || Find(memory.data) != nullptr) continue;  // x may be y
      copies_.push_back({memory, *AllocateDevice(memory.bytes, "a test")});
      EXPECT_TRUE(CopyToDevice(copies_.back().buffer.data(), memory.data, memory.bytes, "a test").ok());
    }
  }
  ~Device() {
    for (const Copy& copy : copies_) {
      std::vector<std::byte> now(copy.host.bytes);
      EXPECT_EQ(cudaMemcpyAsync(now.data(), copy.buffer.data(), now.size(), cudaMemcpyDeviceToHost, queue_.stream()),
                cudaSuccess);
      EXPECT_EQ(cudaStreamSynchronize(queue_.stream()), cudaSuccess);
      const bool changed =
          std::memcmp(now.data(), copy.host.data, now.size()) != 0;  // what is constant stays untouched
      if (changed) std::memcpy(const_cast<void*>(copy.host.data), now.data(), now.size());
    }
    EXPECT_TRUE(queue_.ok()) << queue_.status();
  }

  CudaQueue& queue() { return queue_; }

  // The device's place of a host pointer into one of the copies; null stays null.
  template <class T>
  T* At(T* host) const {
    if (host == nullptr) return nullptr;
    const Copy* copy = Find(host);
    if (copy != nullptr) {
      const std::byte* begin = static_cast<const std::byte*>(copy->host.data);
      return reinterpret_cast<T*>(copy->buffer.data() + (reinterpret_cast<const std::byte*>(host) - begin));
    }
    ADD_FAILURE() << "memory that the test did not name";
    return nullptr;
  }
  void Move(Rows& rows) const { rows.data = At(static_cast<std::byte*>(rows.data)); }
  void Move(SlotArray& array) const { array.base = At(array.base); }
  void Move(const void*& data) const { data = At(static_cast<const std::byte*>(data)); }
  template <class T>
  void Move(absl::Span<const T>& span) const {
    span = {At(span.data()), span.size()};
  }
  template <class... Views>
  void MoveAll(Views&... views) const {
    (Move(views), ...);
  }

  const DeviceStep& Step(Segments segments) {
    int64_t rows = 0;
    for (const Segment& s : segments) rows = std::max<int64_t>(rows, s.row + s.rows);
    stage_ = *StepStage::Create(rows);
    return stage_->Stage(segments, {}, std::vector<int64_t>(rows), queue_);
  }
  // Floats that no kernel may expect anything of.
  float* Workspace(int64_t bytes) {
    workspace_ = *AllocateDevice(bytes, "a test");
    EXPECT_EQ(cudaMemsetAsync(workspace_.data(), 0xff, bytes, queue_.stream()), cudaSuccess);
    return reinterpret_cast<float*>(workspace_.data());
  }

 private:
  struct Copy {
    Memory host;
    Buffer buffer;
  };

  const Copy* Find(const void* host) const {
    for (const Copy& copy : copies_) {
      const std::byte* begin = static_cast<const std::byte*>(copy.host.data);
      const std::byte* at = static_cast<const std::byte*>(host);
      if (at >= begin && at < begin + copy.host.bytes) return &copy;
    }
    return nullptr;
  }

  CudaQueue queue_;
  std::vector<Copy> copies_;
  std::unique_ptr<StepStage> stage_;
  Buffer workspace_;
};

}  // namespace barista::test
