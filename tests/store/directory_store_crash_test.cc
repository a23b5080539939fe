// A directory of states on a medium that fails at every call in turn, and after a loss of power at every call.
#include <errno.h>
#include <gmock/gmock.h>

#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "server/store/directory_store.h"
#include "tests/store/expected_states.h"
#include "tests/store/faulty_filesystem.h"
#include "tests/support/full.h"

namespace barista {
namespace {

// A store and the filesystem below it.
struct Opened {
  explicit Opened(std::unique_ptr<FaultyFilesystem> filesystem)
      : disk(filesystem.get()), store(DirectoryStore::Open(std::move(filesystem))) {}

  FaultyFilesystem* disk;  // gone where the store did not open
  absl::StatusOr<std::unique_ptr<DirectoryStore>> store;
};

// Every kind of call, on keys that are new, there, replaced, deleted and made again. Each answer is one that `fault`,
// an errno, may give.
class Workload {
 public:
  Workload(DirectoryStore& store, const FaultyFilesystem& disk, int fault)
      : store_(store), disk_(disk), fault_(fault) {}

  ExpectedStates Run() {
    Put("a", "the first bytes of a", false);
    Put("b", "", false);
    Get("a");
    Put("a", "not these, since there are some", false);
    Put("a", "bytes that replace those of a", true);
    Put("tenant@c", std::string(40, 'c'), true);
    Delete("b");
    Get("b");
    Put("b", "b again", false);
    Delete("nothing");
    Put("a", "a for the third time", true);
    Delete("tenant@c");
    return expected_;
  }

 private:
  void Put(const std::string& key, const std::string& bytes, bool replace) {
    const absl::Status status = store_.Put(key, bytes, replace);
    EXPECT_FALSE(replace && absl::IsAlreadyExists(status));
    ExpectDocumented(status);
    expected_.Put(key, bytes, status);
  }
  void Get(const std::string& key) {
    const absl::StatusOr<std::string> got = store_.Get(key, 1000);
    ExpectDocumented(got.status());
    if (!got.ok() && !absl::IsNotFound(got.status())) return;
    EXPECT_TRUE(expected_.Allows(key, got.ok() ? std::optional(*got) : std::nullopt)) << key;
  }
  void Delete(const std::string& key) {
    const absl::Status status = store_.Delete(key);
    ExpectDocumented(status);
    expected_.Delete(key, status);
  }
  void ExpectDocumented(const absl::Status& status) {
    EXPECT_EQ(disk_.open_files(), 0u);
    if (status.ok() || absl::IsNotFound(status) || absl::IsAlreadyExists(status)) return;
    EXPECT_TRUE(disk_.failed()) << status;
    EXPECT_EQ(status.code(), fault_ == ENOSPC ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable);
  }

  DirectoryStore& store_;
  const FaultyFilesystem& disk_;
  const int fault_;
  ExpectedStates expected_;
};

// A store opens on what is left, holds what it must, has no unfinished files, and works.
void CheckWhatIsLeft(std::unique_ptr<FaultyFilesystem> filesystem, ExpectedStates expected) {
  Opened next(std::move(filesystem));
  ASSERT_TRUE(next.store.ok()) << next.store.status();
  DirectoryStore& store = **next.store;
  expected.Check(store);
  for (const std::string& name : next.disk->names()) EXPECT_TRUE(absl::EndsWith(name, ".state")) << name;
  for (const std::string key : {"a", "b", "d"}) {
    const absl::Status put = store.Put(key, "new", true);
    EXPECT_TRUE(put.ok()) << put;
    expected.Put(key, "new", put);
  }
  expected.Check(store);
}

// The call that fails is each in turn, until the workload has fewer.
void FailAtEveryCall(int error, bool forever) {
  const uint32_t losses = test::WantsWholeCounts() ? 1000 : 50;
  bool failed = true;
  for (int64_t call = 0; failed; ++call) {
    SCOPED_TRACE(testing::Message() << "errno " << error << (forever ? " forever" : " once") << " at call " << call);
    Opened opened(std::make_unique<FaultyFilesystem>(call));
    ASSERT_TRUE(opened.store.ok()) << opened.store.status();
    opened.disk->FailAt(call, error, forever);
    const ExpectedStates expected = Workload(**opened.store, *opened.disk, error).Run();
    failed = opened.disk->failed();
    CheckWhatIsLeft(opened.disk->AfterKill(), expected);
    for (uint32_t seed = 0; seed < losses; ++seed) {
      SCOPED_TRACE(testing::Message() << "power lost, seed " << seed);
      CheckWhatIsLeft(opened.disk->AfterPowerLoss(seed), expected);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(DirectoryStoreCrashTest, WhatWasAcknowledgedOutlivesOneFailedCall) {
  FailAtEveryCall(EIO, /*forever=*/false);
  FailAtEveryCall(ENOSPC, /*forever=*/false);
}

// Nothing happens after the call: so this is also a loss of power before each.
TEST(DirectoryStoreCrashTest, WhatWasAcknowledgedOutlivesAMediumThatFailsForGood) {
  FailAtEveryCall(EIO, /*forever=*/true);
  FailAtEveryCall(ENOSPC, /*forever=*/true);
}

TEST(DirectoryStoreCrashTest, WhatWasAcknowledgedOutlivesASignal) { FailAtEveryCall(EINTR, /*forever=*/false); }

TEST(DirectoryStoreCrashTest, ASignalDuringReadAndWriteIsNoError) {
  Opened opened(std::make_unique<FaultyFilesystem>(1));
  opened.disk->FailAt(1, EINTR, /*forever=*/false);  // Create, Write
  EXPECT_TRUE((*opened.store)->Put("a", "bytes", false).ok());
  EXPECT_TRUE(opened.disk->failed());
  opened.disk->FailAt(2, EINTR, /*forever=*/false);  // Open, Size, Read
  EXPECT_EQ(*(*opened.store)->Get("a", 100), "bytes");
  EXPECT_TRUE(opened.disk->failed());
}

// The system may say of a second sync that all is well though the bytes are lost.
TEST(DirectoryStoreCrashTest, AFailedSyncIsNotTriedAgain) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Opened opened(std::make_unique<FaultyFilesystem>(seed));
    ASSERT_TRUE((*opened.store)->Put("a", "old", true).ok());
    opened.disk->FailAt(2, EIO, /*forever=*/false);  // Create, Write, Sync
    ASSERT_TRUE(absl::IsUnavailable((*opened.store)->Put("a", "n", true)));
    EXPECT_EQ(*(*opened.store)->Get("a", 100), "old");
    EXPECT_THAT(opened.disk->names(), testing::ElementsAre("a.state"));
    ASSERT_TRUE((*opened.store)->Put("a", "n", true).ok());
    Opened next(opened.disk->AfterPowerLoss(seed));
    EXPECT_EQ(*(*next.store)->Get("a", 100), "n");
  }
}

TEST(DirectoryStoreCrashTest, PowerMayBeLostAgainRightAfterASweep) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Opened first(std::make_unique<FaultyFilesystem>(seed));
    first.disk->FailAt(seed % 40, EIO, /*forever=*/true);
    const ExpectedStates expected = Workload(**first.store, *first.disk, EIO).Run();
    Opened second(first.disk->AfterPowerLoss(seed));
    ASSERT_TRUE(second.store.ok()) << second.store.status();
    CheckWhatIsLeft(second.disk->AfterPowerLoss(seed + 1), expected);
  }
}

TEST(DirectoryStoreCrashTest, ADirectoryThatCannotBeWrittenDoesNotOpen) {
  for (int64_t call = 0; call < 4; ++call) {  // List, Create, Write, Sync
    auto disk = std::make_unique<FaultyFilesystem>(7);
    disk->FailAt(call, EROFS, /*forever=*/false);
    const absl::Status status = Opened(std::move(disk)).store.status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("Read-only file system"));
  }
}

}  // namespace
}  // namespace barista
