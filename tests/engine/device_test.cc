// The engine on the cuda backend: bits that batch mates do not change, and a device that fails.
#include <gmock/gmock.h>

#include <limits>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/device_backend.h"
#include "tests/support/full.h"

namespace barista {
namespace {

class EngineDeviceTest : public EngineTest {
 protected:
  void SetUp() override {
    if (!test::HasDevice()) backend_ = "cpu";  // a build for cards on a machine without one
  }
  std::unique_ptr<Backend> BackendOf(const std::string& kind) override {
    return test::MakeBackendUnderTest({.kind = kind, .threads = 1});
  }

  std::string backend_ = "cuda";
};

TEST_F(EngineDeviceTest, ABatchDrawsWhatEachCallDrawsAlone) {
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) {
    std::vector<int32_t> prompt;
    for (int32_t t = 0; t < 3 + 20 * i; ++t) prompt.push_back((7 * t + 31 * i) % 320);
    Request request = Generate(prompt, 12);
    request.sampling.temperature = i % 2 == 0 ? 1.0f : 0.0f;
    request.sampling.top_p = 0.95f;
    request.sampling.seed = 100 + i;
    request.logprobs = i;
    requests.push_back(request);
  }
  std::vector<Seen> alone;
  for (const Request& request : requests) {
    Start(6, {}, backend_);
    auto call = Submit(request);
    RunToIdle();
    alone.push_back(Drain(*call));
  }
  Start(6, {}, backend_);
  std::vector<std::shared_ptr<Call>> calls;
  for (const Request& request : requests) calls.push_back(Submit(request));
  RunToIdle();
  for (size_t i = 0; i < requests.size(); ++i) {
    const Seen together = Drain(*calls[i]);
    EXPECT_TRUE(together.finished->status.ok()) << together.finished->status;
    EXPECT_EQ(together.tokens, alone[i].tokens) << i;
    ASSERT_EQ(together.logprobs.size(), alone[i].logprobs.size());
    for (size_t t = 0; t < together.logprobs.size(); ++t) {
      EXPECT_EQ(together.logprobs[t].logprob, alone[i].logprobs[t].logprob) << i << " " << t;
    }
  }
}

TEST_F(EngineDeviceTest, ASlotKeepsNothingOfWhoHadIt) {
  constexpr int kSlots = 3, kTogether = 6;
  const int counts[2][2] = {{1000, 100000}, {18, 300}};
  const int recycles = counts[test::kDeviceIsSlow][test::WantsWholeCounts()];
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    Request request = Generate(Prompt(std::vector<int>{1, 4, 9, test::kDeviceIsSlow ? 17 : 70}[i % 4], i), 1 + i % 5);
    request.sampling.temperature = i % 3 == 0 ? 0.0f : 1.0f;
    request.sampling.seed = 40 + i;
    request.logprobs = 0;
    requests.push_back(request);
  }
  const auto bits = [](const Seen& seen) {
    EXPECT_TRUE(seen.finished->status.ok()) << seen.finished->status;
    std::vector<std::pair<int32_t, float>> drawn;
    for (const SampleResult& result : seen.logprobs) drawn.emplace_back(result.token, result.logprob);
    return drawn;
  };
  std::vector<std::vector<std::pair<int32_t, float>>> alone;
  for (const Request& request : requests) {
    Start(1, {}, backend_);
    auto call = Submit(request);
    RunToIdle();
    alone.push_back(bits(Drain(*call)));
  }
  Start(kSlots, {}, backend_);  // freed slots are filled with NaN
  std::mt19937 random(12);
  for (int done = 0; done < recycles; done += kTogether) {
    std::vector<std::pair<size_t, std::shared_ptr<Call>>> calls;
    for (int i = 0; i < kTogether; ++i) {
      const size_t which = random() % requests.size();
      calls.emplace_back(which, Submit(requests[which]));
    }
    RunToIdle();
    for (const auto& [which, call] : calls) ASSERT_EQ(bits(Drain(*call)), alone[which]) << "after " << done;
  }
}

TEST_F(EngineDeviceTest, ARowThatIsNotFiniteFailsAlone) {
  for (const StateKind kind : {StateKind::kLatentVtilde, StateKind::kRglruH, StateKind::kValues}) {
    SCOPED_TRACE(Name(kind));
    Start(2, {}, backend_);
    const auto generate = [this](const std::vector<int32_t>& prompt) { return Submit(Generate(prompt, 6)); };
    auto lost = generate({1, 2, 3}), other = generate({4, 5});
    Steps(2);
    const SlotArray array = m_.pool->array(0, kind);  // of slot 0, the first that an engine gives away
    m_.backend->Fill(array.base, array.dtype, 1, std::numeric_limits<double>::quiet_NaN());
    RunToIdle();
    const Seen seen = Drain(*lost);
    EXPECT_EQ(DetailOf(seen.finished->status).reason, ErrorReason::kNonFinite) << seen.finished->status;
    auto again = generate({1, 2, 3}), neighbour = generate({4, 5});  // in the same two slots
    RunToIdle();
    const Seen clean = Drain(*again);
    ASSERT_TRUE(clean.finished->status.ok()) << clean.finished->status;
    // A step that was ahead drew one more.
    EXPECT_THAT(seen.tokens.at(0).size(), testing::AnyOf(2u, 3u));
    EXPECT_TRUE(std::equal(seen.tokens[0].begin(), seen.tokens[0].end(), clean.tokens.at(0).begin()));
    EXPECT_EQ(Drain(*other).tokens, Drain(*neighbour).tokens);
  }
}

#ifdef BARISTA_CUDA_SHIM
TEST_F(EngineDeviceTest, AFailedDeviceEndsAllCallsAndRefusesNewOnes) {
  int failures = 0;
  Start(2,
        {.on_device_failure =
             [&failures](const absl::Status& status) {
               ++failures;
               EXPECT_THAT(std::string(status.message()), testing::HasSubstr("cudaErrorIllegalAddress"));
             }},
        backend_);
  auto running = Submit(Generate({1, 2, 3}, 100)), other = Submit(Generate({4}, 100)),
       waiting = Submit(Generate({5}, 9));
  Steps(5);
  shim::Break(cudaErrorIllegalAddress);
  Steps(3);
  for (const auto& call : {running, other, waiting}) {
    const Seen seen = Drain(*call);
    ASSERT_TRUE(seen.finished);
    EXPECT_EQ(DetailOf(seen.finished->status).reason, ErrorReason::kEngineFailed) << seen.finished->status;
  }
  EXPECT_EQ(failures, 1);
  EXPECT_FALSE(engine_->Submit(Generate({1}, 1), [] {}).ok());
  shim::Heal();
}
#endif

}  // namespace
}  // namespace barista
