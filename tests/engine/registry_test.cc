// Sessions and a registry that several servers share: what a deleted session leaves there.
#include <deque>
#include <map>
#include <utility>

#include "server/engine/error.h"
#include "tests/engine/engine_fixture.h"

namespace barista {
namespace {

// Of one server; parked sessions have bytes. Forget fails when told to.
class MemoryRegistry final : public SessionRegistry {
 public:
  struct Entry {
    uint64_t epoch = 0;
    std::optional<std::string> bytes;
  };

  absl::StatusOr<uint64_t> Create(const std::string& key) override {
    if (sessions.count(key) > 0) return absl::AlreadyExistsError("there");
    return (sessions[key] = {.epoch = ++newest_}).epoch;
  }
  absl::StatusOr<Claimed> Claim(const std::string& key) override {
    const auto it = sessions.find(key);
    if (it == sessions.end() || !it->second.bytes) return absl::NotFoundError("not parked");
    it->second.epoch = ++newest_;
    return Claimed{.epoch = it->second.epoch, .bytes = *it->second.bytes};
  }
  absl::Status Confirm(const std::string& key, uint64_t epoch) override {
    if (absl::Status newest = Check(key, epoch); !newest.ok()) return newest;
    sessions[key].bytes.reset();
    return absl::OkStatus();
  }
  absl::Status Park(const std::string& key, uint64_t epoch, absl::string_view bytes) override {
    if (absl::Status newest = Check(key, epoch); !newest.ok()) return newest;
    sessions[key].bytes = std::string(bytes);
    return absl::OkStatus();
  }
  absl::Status Forget(const std::string& key, uint64_t epoch) override {
    if (!failure.ok()) return failure;
    if (absl::Status newest = Check(key, epoch); !newest.ok()) return newest;
    sessions.erase(key);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<std::string>> Renew(absl::Span<const Held>) override { return std::vector<std::string>(); }
  absl::StatusOr<std::vector<std::string>> TakeWanted() override {
    return std::exchange(wanted, std::vector<std::string>());
  }
  absl::StatusOr<std::vector<std::string>> ListParked() override { return std::vector<std::string>(); }

  std::map<std::string, Entry> sessions;
  std::vector<std::string> wanted;
  absl::Status failure;

 private:
  absl::Status Check(const std::string& key, uint64_t epoch) const {
    const auto it = sessions.find(key);
    return it != sessions.end() && it->second.epoch > epoch ? absl::AbortedError("not the newest") : absl::OkStatus();
  }
  uint64_t newest_ = 0;
};

// Does nothing until it is told to.
class HeldWorker final : public Worker {
 public:
  ~HeldWorker() override { RunAll(); }
  void Run(std::function<void()> work) override { held_ ? queue_.push_back(std::move(work)) : work(); }
  void Hold() { held_ = true; }
  void RunAll() {
    for (held_ = false; !queue_.empty(); queue_.pop_front()) queue_.front()();
  }

 private:
  bool held_ = false;
  std::deque<std::function<void()>> queue_;
};

class RegistryTest : public EngineTest {
 protected:
  ~RegistryTest() override {
    worker_.RunAll();
    engine_.reset();  // before its registry
  }
  void Begin(int32_t slots, int64_t registry_sessions = 4) {
    EngineOptions options;
    options.tiers = {.registry_sessions = registry_sessions, .registry = &registry_, .registry_worker = &worker_};
    Start(slots, options);
  }
  void Create(const std::string& key) {
    ASSERT_TRUE(engine_
                    ->PostNew({key},
                              [&](SessionTable& s, const auto& epochs) {
                                EXPECT_TRUE(epochs.ok());
                                return s.Create(key, epochs->front()).status();
                              })
                    .ok());
    Steps(2);
  }
  void Say(const std::string& key) {
    Request request = Generate(Prompt(5), 3);
    request.session = key;
    request.opening = request.prompt;
    Submit(std::move(request));
    RunToIdle();
  }
  // What a deletion said; none while it has not.
  std::shared_ptr<std::optional<absl::Status>> Delete(const std::string& key) {
    auto said = std::make_shared<std::optional<absl::Status>>();
    EXPECT_TRUE(engine_
                    ->Post([key, said](SessionTable& s) {
                      EXPECT_TRUE(s.Delete(key, [said](const absl::Status& status) { *said = status; }).ok());
                    })
                    .ok());
    Steps(2);
    return said;
  }

  MemoryRegistry registry_;
  HeldWorker worker_;
};

TEST_F(RegistryTest, ADeletedSessionIsGoneThereBeforeItIsSaid) {
  Begin(2);
  Create("a");
  Say("a");
  ASSERT_EQ(registry_.sessions.count("a"), 1u);
  worker_.Hold();
  const auto said = Delete("a");
  EXPECT_FALSE(said->has_value());
  worker_.RunAll();
  Steps(1);
  ASSERT_TRUE(said->has_value());
  EXPECT_TRUE((*said)->ok());
  EXPECT_TRUE(registry_.sessions.empty());
}

TEST_F(RegistryTest, OneThatIsDeletedWhileItIsParkedDoesNotComeBack) {
  Begin(1);
  Create("a");
  Say("a");
  Create("b");
  worker_.Hold();
  Request request = Generate(Prompt(5), 3);
  request.session = "b";
  request.opening = request.prompt;
  Submit(std::move(request));
  Steps(5);  // a is on its way to the registry
  const auto said = Delete("a");
  EXPECT_FALSE(said->has_value());
  for (int i = 0; i < 5; ++i) {
    worker_.RunAll();
    Steps(2);
  }
  RunToIdle();
  ASSERT_TRUE(said->has_value());
  EXPECT_TRUE((*said)->ok());
  EXPECT_EQ(registry_.sessions.count("a"), 0u);
  EXPECT_EQ(registry_.sessions.count("b"), 1u);
}

TEST_F(RegistryTest, ADeletionThatTheRegistryDoesNotAnswerIsSaidSoAndTriedAgain) {
  Begin(2);
  Create("a");
  Say("a");
  registry_.failure = absl::UnavailableError("no answer");
  const auto said = Delete("a");
  ASSERT_TRUE(said->has_value());
  EXPECT_EQ(DetailOf(**said).reason, ErrorReason::kStoreFailed);
  EXPECT_EQ(registry_.sessions.count("a"), 1u);
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(Seconds(0.1));
    Steps(2);
  }
  EXPECT_EQ(registry_.sessions.count("a"), 1u);
  registry_.failure = absl::OkStatus();
  clock_.Advance(Seconds(0.1));
  Steps(2);
  EXPECT_TRUE(registry_.sessions.empty());
}

TEST_F(RegistryTest, ADeletionThatCameTooLateIsNoDeletion) {
  Begin(2);
  Create("a");
  Say("a");
  registry_.sessions["a"].epoch += 5;  // another server has it
  const auto said = Delete("a");
  ASSERT_TRUE(said->has_value());
  EXPECT_EQ(DetailOf(**said).reason, ErrorReason::kSessionElsewhere);
  EXPECT_EQ(registry_.sessions.count("a"), 1u);
}

TEST_F(RegistryTest, ASessionThatAnotherServerAsksForGoesAlsoWhereSlotsAreFree) {
  for (const int64_t registry_sessions : {4, 0}) {
    Begin(3, registry_sessions);
    Create("a@s");
    Say("a@s");
    registry_.wanted = {"a@s"};
    for (int i = 0; i < 10; ++i) {
      clock_.Advance(Seconds(0.1));
      Steps(1);
    }
    EXPECT_TRUE(registry_.sessions.at("a@s").bytes) << registry_sessions;
    EXPECT_EQ(used_slots(), 0);
    registry_.sessions.clear();
  }
}

}  // namespace
}  // namespace barista
