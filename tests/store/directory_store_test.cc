// The contract of a store, for the one that is a directory.
#include "server/store/directory_store.h"

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/status/status.h"
#include "tests/store/faulty_filesystem.h"
#include "tests/support/temp_dir.h"

namespace barista {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DirectoryStoreTest : public testing::Test {
 protected:
  std::unique_ptr<DirectoryStore> Open() {
    absl::StatusOr<std::unique_ptr<DirectoryStore>> store = DirectoryStore::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  static absl::Status Refusal(const std::string& path) { return DirectoryStore::Open(path).status(); }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  static int Mode(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  TempDir dir_;
  std::string path_ = dir_.file("states");
};

TEST_F(DirectoryStoreTest, WhatIsPutComesBack) {
  const auto store = Open();
  const std::string bytes("any\0bytes\n\xff", 11);
  ASSERT_TRUE(store->Put("a", bytes, false).ok());
  ASSERT_TRUE(store->Put("empty", "", false).ok());
  const std::string large(5'000'003, 'L');
  ASSERT_TRUE(store->Put("large", large, true).ok());
  EXPECT_EQ(*store->Get("a", 1000), bytes);
  EXPECT_EQ(*store->Get("empty", 1000), "");
  EXPECT_TRUE(*store->Get("large", std::string::npos) == large);
}

TEST_F(DirectoryStoreTest, GetGivesNoMoreThanAsked) {
  const auto store = Open();
  ASSERT_TRUE(store->Put("a", "0123456789", false).ok());
  EXPECT_EQ(*store->Get("a", 0), "");
  EXPECT_EQ(*store->Get("a", 4), "0123");
  EXPECT_EQ(*store->Get("a", 10), "0123456789");
}

TEST_F(DirectoryStoreTest, OnlyReplaceReplaces) {
  const auto store = Open();
  ASSERT_TRUE(store->Put("a", "old", true).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(store->Put("a", "new", false)));
  EXPECT_EQ(*store->Get("a", 100), "old");
  EXPECT_TRUE(store->Put("a", "new", true).ok());
  EXPECT_EQ(*store->Get("a", 100), "new");
}

TEST_F(DirectoryStoreTest, WhatIsDeletedIsGone) {
  const auto store = Open();
  ASSERT_TRUE(store->Put("a", "x", false).ok());
  EXPECT_TRUE(store->Delete("a").ok());
  EXPECT_TRUE(absl::IsNotFound(store->Get("a", 100).status()));
  EXPECT_TRUE(absl::IsNotFound(store->Delete("a")));
  EXPECT_THAT(*store->List(), IsEmpty());
  EXPECT_TRUE(store->Put("a", "y", false).ok());
}

TEST_F(DirectoryStoreTest, ListIsSortedAndOutlivesTheStore) {
  const std::string longest(129, 'z');
  for (const std::string& key : std::vector<std::string>{"b", "a", ".", "..", "-rf", "tenant@b", "a.state", longest}) {
    ASSERT_TRUE(Open()->Put(key, "of " + key, false).ok()) << key;
  }
  const auto store = Open();
  EXPECT_THAT(*store->List(), ElementsAre("-rf", ".", "..", "a", "a.state", "b", "tenant@b", longest));
  const std::vector<std::string> keys = *store->List();
  for (const std::string& key : keys) EXPECT_EQ(*store->Get(key, 1000), "of " + key);
}

TEST_F(DirectoryStoreTest, WhatIsNoKeyReachesNoFile) {
  dir_.Write("outside.state", "x");
  const auto store = Open();
  for (const std::string& key :
       {std::string(), std::string("../outside"), std::string("/x"), std::string("a\0b", 3), std::string("new~1"),
        std::string("caf\xc3\xa9"), std::string("a b"), std::string(130, 'k')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(store->Put(key, "y", true))) << key;
    EXPECT_TRUE(absl::IsInvalidArgument(store->Get(key, 100).status())) << key;
    EXPECT_TRUE(absl::IsInvalidArgument(store->Delete(key))) << key;
  }
  EXPECT_TRUE(std::filesystem::exists(dir_.file("outside.state")));
}

TEST_F(DirectoryStoreTest, OthersHaveNoRights) {
  ASSERT_TRUE(Open()->Put("a", "x", true).ok());
  EXPECT_EQ(Mode(path_), 0700);
  EXPECT_EQ(Mode(File("a.state")), 0600);
  EXPECT_EQ(Mode(File("lock")), 0600);
}

TEST_F(DirectoryStoreTest, OpenSweepsWhatACrashLeftAndNothingElse) {
  ASSERT_TRUE(Open()->Put("new", "x", false).ok());
  for (const char* name : {"states/new~1", "states/new~77", "states/notes.txt", "states/no key.state"}) {
    dir_.Write(name, "x");
  }
  const auto store = Open();
  EXPECT_FALSE(std::filesystem::exists(File("new~1")));
  EXPECT_FALSE(std::filesystem::exists(File("new~77")));
  EXPECT_TRUE(std::filesystem::exists(File("notes.txt")));
  EXPECT_TRUE(std::filesystem::exists(File("no key.state")));
  EXPECT_THAT(*store->List(), ElementsAre("new"));
}

TEST_F(DirectoryStoreTest, ALinkIsNotFollowed) {
  const auto store = Open();
  std::filesystem::create_symlink(dir_.Write("secret", "s"), File("a.state"));
  const absl::Status status = store->Get("a", 100).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr(dir_.path())));
  EXPECT_TRUE(store->Put("a", "x", true).ok());
  EXPECT_EQ(*store->Get("a", 100), "x");
}

TEST_F(DirectoryStoreTest, OneStoreHoldsTheDirectory) {
  auto store = Open();
  const absl::Status held = Refusal(path_);
  EXPECT_TRUE(absl::IsFailedPrecondition(held)) << held;
  EXPECT_EQ(held.message(), path_ + ": another process holds the directory");
  store.reset();
  EXPECT_TRUE(Refusal(path_).ok());
}

TEST_F(DirectoryStoreTest, WhatIsNoDirectoryDoesNotOpen) {
  EXPECT_THAT(Refusal(dir_.Write("file", "x")).ToString(),
              HasSubstr("file: cannot open the directory: Not a directory"));
  EXPECT_THAT(Refusal(dir_.file("no/parent")).ToString(), HasSubstr("cannot make the directory: No such file"));
  EXPECT_FALSE(Refusal("").ok());
}

// A medium of 1 MiB: a tmpfs where this process may mount one, and one in memory.
void FillAndGoOn(absl::StatusOr<std::unique_ptr<DirectoryStore>> opened) {
  ASSERT_TRUE(opened.ok()) << opened.status();
  DirectoryStore& store = **opened;
  const std::string bytes(100'000, 'b');
  int64_t fit = 0;
  absl::Status status;
  while (status = store.Put("key" + std::to_string(fit), bytes, false), status.ok()) ASSERT_LT(++fit, 11);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write a file: No space left on device"));
  EXPECT_GE(fit, 8);
  EXPECT_TRUE(absl::IsResourceExhausted(store.Put("key0", std::string(200'000, 'n'), true)));
  const std::vector<std::string> keys = *store.List();
  EXPECT_EQ(keys.size(), static_cast<size_t>(fit));
  for (const std::string& key : keys) EXPECT_EQ(*store.Get(key, 1 << 20), bytes);
  EXPECT_TRUE(store.Delete("key1").ok());
  EXPECT_TRUE(store.Put("key0", bytes + "1", true).ok());
  EXPECT_EQ(*store.Get("key0", 1 << 20), bytes + "1");
}

TEST_F(DirectoryStoreTest, AFullMediumRefusesAndGoesOn) {
  auto memory = std::make_unique<FaultyFilesystem>(1);
  memory->LimitBytes(1 << 20);
  FillAndGoOn(DirectoryStore::Open(std::move(memory)));

  std::filesystem::create_directory(path_);
  if (mount("none", path_.c_str(), "tmpfs", 0, "size=1m") == 0) {
    FillAndGoOn(DirectoryStore::Open(path_));
    EXPECT_EQ(umount2(path_.c_str(), MNT_DETACH), 0);
  }
}

}  // namespace
}  // namespace barista
