// What a card's memory is asked for, and what is left in it.
#include <gmock/gmock.h>

#include "kernels/cuda/memory.h"
#include "tests/support/device_backend.h"

namespace barista {
namespace {

constexpr size_t kMebibyte = 1 << 20;

class DeviceMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (test::HasDevice()) backend_ = test::MakeBackendUnderTest({.kind = "cuda"});
  }
  std::unique_ptr<Backend> backend_;  // null: a build for cards on a machine without one
};

TEST_F(DeviceMemoryTest, WhatIsAllocatedIsNotFreeAnyMore) {
  if (backend_ == nullptr) return;
  const int64_t free = *backend_->FreeDeviceBytes(), bytes = DeviceBytes();
  {
    const absl::StatusOr<Buffer> buffer = backend_->Allocate(64 * kMebibyte, "a test");
    ASSERT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_EQ(DeviceBytes() - bytes, 64 * kMebibyte);
    EXPECT_LE(*backend_->FreeDeviceBytes(), free - static_cast<int64_t>(64 * kMebibyte));
  }
  EXPECT_EQ(DeviceBytes(), bytes);
}

TEST_F(DeviceMemoryTest, MoreThanThereIsIsRefusedByName) {
  if (backend_ == nullptr) return;
  const size_t more = static_cast<size_t>(*backend_->FreeDeviceBytes()) + kMebibyte;
  const absl::Status status = backend_->Allocate(more, "the states of 9 slots").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("the states of 9 slots"));
}

TEST_F(DeviceMemoryTest, ReserveTellsWhatItTook) {
  if (backend_ == nullptr) return;
  const int64_t before = DeviceBytes();
  const absl::StatusOr<int64_t> reserved =
      backend_->Reserve({.rows = 128, .logits_rows = 8, .vocab = 320, .kv_heads = 2, .latents = 8, .head_dim = 16});
  ASSERT_TRUE(reserved.ok()) << reserved.status();
  EXPECT_GT(*reserved, 0);
  EXPECT_EQ(*reserved, DeviceBytes() - before);
}

#ifdef BARISTA_CUDA_SHIM
TEST_F(DeviceMemoryTest, ItIsZeroWhenItIsGivenBack) {
  absl::StatusOr<Buffer> buffer = backend_->Allocate(kMebibyte, "a test");
  ASSERT_TRUE(buffer.ok());
  backend_->Fill(buffer->data(), DType::kF32, kMebibyte / 4, 1.5);
  const int64_t dirty = shim::FreedDirty();
  *buffer = Buffer();
  EXPECT_EQ(shim::FreedDirty(), dirty);
}

TEST_F(DeviceMemoryTest, AFullDeviceSaysSo) {
  const size_t used = (size_t{8} << 30) - *backend_->FreeDeviceBytes();
  shim::SetMemory(used + 10 * kMebibyte);
  EXPECT_EQ(*backend_->FreeDeviceBytes(), 10 * kMebibyte);
  EXPECT_FALSE(backend_->Allocate(11 * kMebibyte, "a test").ok());
  EXPECT_TRUE(backend_->Allocate(9 * kMebibyte, "a test").ok());
  shim::SetMemory(size_t{8} << 30);
}
#endif

}  // namespace
}  // namespace barista
