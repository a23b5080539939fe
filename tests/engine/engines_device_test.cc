// Engines on cards, each with its own thread: sessions that go from one to another, and what one alone says. On a
// machine with one card both engines are on it.
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/engine/engines_fixture.h"
#include "tests/support/device_backend.h"
#include "tests/support/two_devices.h"

namespace barista {
namespace {

class EnginesDeviceTest : public EnginesTest {
 protected:
  void TearDown() override {
    EnginesTest::TearDown();
    engines_ = nullptr;
    owned_.clear();
    loaded_.clear();  // before the devices
  }
  std::unique_ptr<Backend> BackendAt(int device) override {
    const std::string kind = devices_.count() > 0 ? "cuda" : "cpu";  // a build for cards on a machine without one
    return test::MakeBackendUnderTest({.kind = kind, .threads = 1, .device = std::min(device, devices_.count() - 1)});
  }

  // All sessions take their turns at once, again and again, and a call without a session runs beside them.
  std::map<std::string, std::vector<std::vector<int32_t>>> Play(const std::vector<int32_t>& slots) {
    constexpr int kSessions = 4, kTurns = 2;
    EngineOptions options;
    options.checkpoint_bytes = int64_t{16} << 20;
    options.tiers.host_sessions = kSessions;
    options.on_device_failure = [](const absl::Status& status) { ADD_FAILURE() << status; };
    StartSeveral(slots, options);
    for (int i = 0; i < kSessions; ++i) EXPECT_TRUE(Create(absl::StrCat("a@", i)).ok());
    engines_->Start();
    std::map<std::string, std::vector<std::vector<int32_t>>> said;
    for (int turn = 0; turn < kTurns; ++turn) {
      std::map<std::string, std::shared_ptr<Call>> calls;
      calls["none"] = Send(Generate(Prompt(11, turn), 9));
      for (int i = 0; i < kSessions; ++i) {
        const std::string key = absl::StrCat("a@", i);
        calls[key] = Send(Saying(key, Prompt(1 + 17 * i, 10 * i + turn), 5 + i));
      }
      while (!engines_->idle()) std::this_thread::yield();
      for (const auto& [key, call] : calls) {
        const Seen seen = Drain(*call);
        EXPECT_TRUE(seen.finished && seen.finished->status.ok());
        said[key].push_back(seen.tokens.at(0));
      }
    }
    engines_->Stop();
    return said;
  }
  test::TwoDevices devices_;
};

TEST_F(EnginesDeviceTest, TwoSayWhatOneDoes) {
  const auto want = Play({8});
  EXPECT_EQ(Play({2, 1}), want);
  EXPECT_GT(metrics_.evictions("host").Value(), 0);
}

}  // namespace
}  // namespace barista
