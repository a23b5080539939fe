// Backends on several cards in one process: the bits of one alone, each card's memory its own, from any thread. On a
// machine with one card both backends are on it.
#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/current_device.h"
#include "tests/support/device_backend.h"
#include "tests/support/loaded_model.h"
#include "tests/support/two_devices.h"

namespace barista {
namespace {

using testing::HasSubstr;

constexpr int32_t kSteps = 8, kDecodes = 3;

// What a model gives, step by step: a prompt, then decodes that are recorded, of which each goes on with what it drew.
struct Outcome {
  std::vector<std::vector<double>> logits;
  std::vector<int32_t> tokens;
  std::string state;
  bool operator==(const Outcome&) const = default;
};

class Runner {
 public:
  explicit Runner(int device)
      : m_(LoadedModel::Load(
            "tests/golden/variants/macchiato-rglru", test::MakeBackendUnderTest({.kind = "cuda", .device = device}),
            {.weights = {.dtype = DType::kBF16}, .rows_max = 64, .logits_rows_max = 4, .max_positions = 200})) {
    m_.model->RecordDecodes(*m_.pool);
    for (int32_t slot = 0; slot < kDecodes; ++slot) m_.pool->Init(slot);
  }

  Backend& backend() { return *m_.backend; }

  // By a thread that is bound to the backend.
  void Step(int32_t step) {
    const bool prefill = step == 0;
    std::vector<Segment> segments;
    std::vector<int32_t> tokens, slots;
    for (int32_t slot = 0; slot < kDecodes; ++slot) {
      const int32_t rows = prefill ? 5 + 7 * slot : 1;
      segments.push_back({.slot = slot,
                          .row = static_cast<int32_t>(tokens.size()),
                          .rows = rows,
                          .position = position_[slot],
                          .prefill = prefill});
      for (int32_t r = 0; r < rows; ++r) tokens.push_back(prefill ? 3 * r + slot : token_[slot]);
      position_[slot] += rows;
      slots.push_back(slot);
    }
    const SamplingParams params = {.top_p = 0.9f, .seed = 11};
    std::vector<SampleRow> draws;
    for (int32_t slot = 0; slot < kDecodes; ++slot) {
      draws.push_back({.params = &params, .position = static_cast<uint64_t>(position_[slot])});
    }
    std::vector<SampleResult> results(kDecodes);
    if (prefill) {
      m_.model->Forward(segments, tokens, *m_.pool);
      m_.backend->Sample(m_.model->Logits(slots, *m_.pool), draws, absl::MakeSpan(results));
    } else {
      ASSERT_TRUE(m_.model->Forward(segments, tokens, *m_.pool, {}, draws));
      m_.model->TakeDraws(absl::MakeSpan(results));
    }
    const Rows logits = m_.model->Logits(slots, *m_.pool);
    for (int32_t slot = 0; slot < kDecodes; ++slot) {
      outcome_.logits.push_back(m_.ReadRow(logits, slot));
      outcome_.tokens.push_back(token_[slot] = results[slot].token);
    }
  }
  const Outcome& End() {
    EXPECT_TRUE(backend().status().ok()) << backend().status();
    outcome_.state = m_.pool->Download(1);
    return outcome_;
  }

 private:
  LoadedModel m_;
  int64_t position_[kDecodes] = {};
  int32_t token_[kDecodes] = {};
  Outcome outcome_;
};

class DevicesTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(devices() == 0 || BindDevice(0) == cudaSuccess); }
  int devices() const { return two_.count(); }
  int second() const { return devices() > 1 ? 1 : 0; }
  static Outcome Alone() {
    Runner runner(0);
    for (int32_t step = 0; step < kSteps; ++step) runner.Step(step);
    return runner.End();
  }
  static int Current() {
    int device = -1;
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    return device;
  }

  test::TwoDevices two_;  // none: a build for cards on a machine without one
};

TEST_F(DevicesTest, TakingTurnsOnOneThreadGivesTheBitsOfOneAlone) {
  if (devices() == 0) return;
  const Outcome alone = Alone();
  Runner first(0), other(second());
  for (int32_t step = 0; step < kSteps; ++step) {
    for (Runner* runner : {&first, &other}) {
      runner->backend().BindThread();
      runner->Step(step);
    }
  }
  EXPECT_TRUE(first.End() == alone);
  EXPECT_TRUE(other.End() == alone);
}

TEST_F(DevicesTest, AThreadEachGivesTheBitsOfOneAlone) {
  if (devices() == 0) return;
  const Outcome alone = Alone();
  std::unique_ptr<Runner> runners[2];  // freed here: a recording forbids that on the same card
  std::vector<std::thread> threads;
  for (const int device : {0, second()}) {
    threads.emplace_back([device, &runner = runners[threads.size()]] {
      runner = std::make_unique<Runner>(device);  // loads beside the other, too
      for (int32_t step = 0; step < kSteps; ++step) runner->Step(step);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(runners[0]->End() == alone);
  EXPECT_TRUE(runners[1]->End() == alone);
}

TEST_F(DevicesTest, LoadedOnOneThreadRunOnAnother) {
  if (devices() == 0) return;
  const Outcome alone = Alone();
  Runner first(0), other(second());
  std::vector<std::thread> threads;
  for (Runner* runner : {&first, &other}) {
    threads.emplace_back([runner] {
      runner->backend().BindThread();
      for (int32_t step = 0; step < kSteps; ++step) runner->Step(step);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(first.End() == alone);
  EXPECT_TRUE(other.End() == alone);
}

TEST_F(DevicesTest, AnyThreadMovesAndFreesAndStaysWhereItIs) {
  if (devices() == 0) return;
  const std::unique_ptr<Backend> first = test::MakeBackendUnderTest({.kind = "cuda"});
  std::unique_ptr<Backend> other = test::MakeBackendUnderTest({.kind = "cuda", .device = second()});
  const int64_t free = *other->FreeDeviceBytes();
  const std::vector<int32_t> values(1 << 20, 77);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 3; ++i) buffers.push_back(*other->Allocate(values.size() * sizeof(values[0]), "a test"));
  const auto use = [&](Buffer& buffer) {
    std::vector<int32_t> back(values.size());
    other->Upload(buffer.data(), values.data(), buffer.size());
    other->Download(back.data(), buffer.data(), buffer.size());
    EXPECT_EQ(back, values);
    EXPECT_LE(*other->FreeDeviceBytes(), free - static_cast<int64_t>(buffer.size()));
    const Buffer gone = std::move(buffer);
  };
  first->BindThread();
  use(buffers[0]);
  EXPECT_EQ(Current(), 0);
  other->BindThread();
  use(buffers[1]);
  EXPECT_EQ(Current(), second());
  std::thread([&] { use(buffers[2]); }).join();  // bound to nothing
  EXPECT_EQ(Current(), second());
  first->BindThread();
  other.reset();
  EXPECT_EQ(Current(), 0);
}

TEST_F(DevicesTest, ACardThatIsNotThereIsRefusedByNumber) {
  if (devices() == 0) return;
  for (const int device : {-1, devices(), 1000}) {
    const absl::Status status = CudaBackend::Create({.device = device}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("device is ", device)));
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("has ", devices())));
  }
}

#ifdef BARISTA_CUDA_SHIM
TEST_F(DevicesTest, EachCardHasMemoryOfItsOwn) {
  EXPECT_EQ(devices(), 2);
  const std::unique_ptr<Backend> first = test::MakeBackendUnderTest({.kind = "cuda"});
  const std::unique_ptr<Backend> other = test::MakeBackendUnderTest({.kind = "cuda", .device = 1});
  const int64_t free = *first->FreeDeviceBytes(), free_other = *other->FreeDeviceBytes();
  const Buffer buffer = *first->Allocate(1 << 20, "a test");
  EXPECT_EQ(*first->FreeDeviceBytes(), free - (1 << 20));
  EXPECT_EQ(*other->FreeDeviceBytes(), free_other);
  const int64_t dirty = shim::FreedDirty();
  {
    const Runner runner(1);
    first->BindThread();
  }
  EXPECT_EQ(shim::FreedDirty(), dirty);
  EXPECT_EQ(*other->FreeDeviceBytes(), free_other);
}

TEST_F(DevicesTest, ACardThatFailsLeavesTheOther) {
  Runner first(0), other(1);
  shim::Break(cudaErrorIllegalAddress, 1);
  other.backend().Fill(nullptr, DType::kF32, 1, 0);
  EXPECT_THAT(std::string(other.backend().status().message()), HasSubstr("cudaErrorIllegalAddress"));
  first.backend().BindThread();
  for (int32_t step = 0; step < kSteps; ++step) first.Step(step);
  shim::Heal();
  EXPECT_TRUE(first.End() == Alone());
}

TEST_F(DevicesTest, AThreadThatIsBoundToAnotherIsFound) {
  Runner first(0), other(1);
  first.backend().Fill(nullptr, DType::kF32, 1, 0);
  EXPECT_THAT(std::string(first.backend().status().message()),
              HasSubstr("a stream of device 0 from a thread whose device is 1"));
  EXPECT_TRUE(other.backend().status().ok());
}
#endif

}  // namespace
}  // namespace barista
