// Snapshots in Redis: what Put acknowledged is there, and nothing of a call that was given up comes back later.
#include "server/store/redis_store.h"

#include <gmock/gmock.h>

#include "tests/store/faulty_channel.h"
#include "tests/store/redis_server.h"

namespace barista {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

constexpr size_t kAll = std::string::npos;

class RedisStoreTest : public RedisTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(RedisTest::SetUp());
    auto channel = std::make_unique<FaultyChannel>(redis_->Connect(), 1);
    channel_ = channel.get();
    store_ = std::make_unique<RedisStore>(std::move(channel), "test");
  }

  FaultyChannel* channel_ = nullptr;
  std::unique_ptr<RedisStore> store_;
};

TEST_F(RedisStoreTest, WhatIsPutComesBack) {
  std::string bytes(100'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7);
  ASSERT_TRUE(store_->Put("t@a-1.b_2", bytes, false).ok());
  EXPECT_EQ(*store_->Get("t@a-1.b_2", kAll), bytes);
  EXPECT_EQ(*store_->Get("t@a-1.b_2", 128), bytes.substr(0, 128));
  EXPECT_EQ(*store_->Get("t@a-1.b_2", 0), "");
  EXPECT_EQ(redis_->Command({"GET", "barista:test:snapshot:t@a-1.b_2"}).text, bytes);
}

TEST_F(RedisStoreTest, NoBytesAreBytesToo) {
  ASSERT_TRUE(store_->Put("a", "", false).ok());
  EXPECT_EQ(*store_->Get("a", kAll), "");
  EXPECT_THAT(*store_->List(), ElementsAre("a"));
}

TEST_F(RedisStoreTest, OnlyReplaceReplaces) {
  ASSERT_TRUE(store_->Put("a", "one", false).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(store_->Put("a", "two", false)));
  EXPECT_EQ(*store_->Get("a", kAll), "one");
  ASSERT_TRUE(store_->Put("a", "two", true).ok());
  EXPECT_EQ(*store_->Get("a", kAll), "two");
  ASSERT_TRUE(store_->Put("b", "three", true).ok());
}

TEST_F(RedisStoreTest, WhatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(store_->Get("a", kAll).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Get("a", 0).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Delete("a")));
}

TEST_F(RedisStoreTest, KeysAreListedInOrderUntilTheyAreDeleted) {
  EXPECT_THAT(*store_->List(), IsEmpty());
  for (const char* key : {"b", "a", "C", "t@a"}) ASSERT_TRUE(store_->Put(key, "x", false).ok());
  EXPECT_THAT(*store_->List(), ElementsAre("C", "a", "b", "t@a"));
  ASSERT_TRUE(store_->Delete("b").ok());
  EXPECT_THAT(*store_->List(), ElementsAre("C", "a", "t@a"));
  for (const char* key : {"a", "C", "t@a"}) ASSERT_TRUE(store_->Delete(key).ok());
  EXPECT_THAT(redis_->Keys(), ElementsAre(StartsWith("barista:test:caller:")));
}

TEST_F(RedisStoreTest, NamespacesAreApart) {
  RedisStore other(redis_->Connect(), "other");
  ASSERT_TRUE(store_->Put("a", "one", false).ok());
  EXPECT_TRUE(absl::IsNotFound(other.Get("a", kAll).status()));
  EXPECT_THAT(*other.List(), IsEmpty());
}

TEST_F(RedisStoreTest, NamesOfNamespacesAreChecked) {
  EXPECT_TRUE(CheckRedisNamespace("Prod-1.a_b").ok());
  EXPECT_TRUE(CheckRedisNamespace(std::string(64, 'a')).ok());
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a:b"), std::string("a b")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckRedisNamespace(name))) << name;
  }
}

TEST_F(RedisStoreTest, AFullRedisRefusesToPutButDeletes) {
  ASSERT_TRUE(store_->Put("a", "one", false).ok());
  redis_->Command({"CONFIG", "SET", "maxmemory", "1"});
  EXPECT_TRUE(absl::IsResourceExhausted(store_->Put("a", "two", true)));
  EXPECT_TRUE(absl::IsResourceExhausted(store_->Put("b", "two", false)));
  EXPECT_EQ(*store_->Get("a", kAll), "one");
  EXPECT_TRUE(store_->Delete("a").ok());
  EXPECT_THAT(*store_->List(), IsEmpty());
}

TEST_F(RedisStoreTest, AnErrorOfRedisIsUnavailableAndSaysWhat) {
  redis_->Command({"SADD", "barista:test:snapshot:a", "not a string"});
  const absl::Status status = store_->Get("a", kAll).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("redis: get: WRONGTYPE"));
}

// A Put that Redis gets to see long after its sender gave up does not replace what a later one put.
TEST_F(RedisStoreTest, ALatePutDoesNothing) {
  ASSERT_TRUE(store_->Put("a", "one", true).ok());
  channel_->DelayNextCall();
  EXPECT_TRUE(absl::IsUnavailable(store_->Put("a", "two", true)));
  ASSERT_TRUE(store_->Put("a", "three", true).ok());
  ASSERT_TRUE(channel_->DeliverLate());
  EXPECT_EQ(*store_->Get("a", kAll), "three");
}

TEST_F(RedisStoreTest, AllIsThereAfterARestart) {
  RedisServer durable(true);
  ASSERT_TRUE(durable.Start());
  RedisStore store(durable.Connect(), "test");
  ASSERT_TRUE(store.Put("a", "one", false).ok());
  durable.Kill();
  EXPECT_TRUE(absl::IsUnavailable(store.Put("a", "two", true)));
  ASSERT_TRUE(durable.Start());
  RedisStore next(durable.Connect(), "test");
  EXPECT_EQ(*next.Get("a", kAll), "one");
  EXPECT_THAT(*next.List(), ElementsAre("a"));
}

// Redis forgets its scripts when it restarts.
TEST_F(RedisStoreTest, ScriptsAreGivenAgain) {
  ASSERT_TRUE(store_->Put("a", "one", false).ok());
  redis_->Command({"SCRIPT", "FLUSH"});
  EXPECT_TRUE(store_->Put("a", "two", true).ok());
  EXPECT_EQ(*store_->Get("a", kAll), "two");
}

}  // namespace
}  // namespace barista
