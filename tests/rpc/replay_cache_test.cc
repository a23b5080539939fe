#include "server/rpc/replay_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "barista/v1/inference.pb.h"
#include "barista/v1/session.pb.h"
#include "server/engine/error.h"

namespace barista {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::CreateSessionRequest Create(const std::string& id) {
  v1::CreateSessionRequest request;
  request.set_session_id(id);
  return request;
}

v1::Session Named(const std::string& name) {
  v1::Session message;
  message.set_name(name);
  return message;
}

// A call that says `messages` and ends with `status`.
void RunCall(ReplayCache& cache, const std::string& id, const std::vector<std::string>& messages,
             absl::Status status = {}) {
  const absl::StatusOr<ReplayCache::Begun> begun = cache.Begin(id, Create(id));
  ASSERT_TRUE(begun.ok()) << begun.status();
  ASSERT_NE(begun->recording, nullptr) << "a repeat";
  for (const std::string& message : messages) begun->recording->Add(Named(message));
  begun->recording->End(status);
}

bool IsKept(ReplayCache& cache, const std::string& id) {
  const absl::StatusOr<ReplayCache::Begun> begun = cache.Begin(id, Create(id));
  return begun.ok() && begun->answer != nullptr;
}

TEST(ReplayCacheTest, ARepeatHasTheMessagesAndTheStatusOfTheFirstCall) {
  ReplayCache cache;
  RunCall(cache, "a", {"one", "two"}, absl::CancelledError("left"));
  for (int i = 0; i < 3; ++i) {
    const absl::StatusOr<ReplayCache::Begun> again = cache.Begin("a", Create("a"));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->recording, nullptr);
    EXPECT_EQ(again->answer->status, absl::CancelledError("left"));
    EXPECT_THAT(again->answer->messages,
                ElementsAre(Named("one").SerializeAsString(), Named("two").SerializeAsString()));
  }
}

TEST(ReplayCacheTest, ACallThatRunsRefusesItsRepeat) {
  ReplayCache cache;
  const auto first = cache.Begin("a", Create("x"));
  const auto again = cache.Begin("a", Create("x"));
  EXPECT_EQ(DetailOf(again.status()).reason, ErrorReason::kRequestRunning);
  EXPECT_GT(DetailOf(again.status()).retry_after_seconds, 0);
  EXPECT_TRUE(cache.Begin("b", Create("x")).ok());
}

TEST(ReplayCacheTest, OtherContentIsRefusedWhileTheFirstRunsAndAfter) {
  ReplayCache cache;
  const auto first = cache.Begin("a", Create("x"));
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = cache.Begin("a", Create("y")).status();
    EXPECT_EQ(DetailOf(status).reason, ErrorReason::kInvalidField);
    EXPECT_EQ(DetailOf(status).field, "request_id");
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"a\""));
    if (i == 0) first->recording->End(absl::OkStatus());
  }
}

TEST(ReplayCacheTest, EachMethodHasItsOwnIds) {
  ReplayCache cache;
  RunCall(cache, "a", {"one"});
  v1::DeleteSessionRequest other;
  const auto begun = cache.Begin("a", other);
  ASSERT_TRUE(begun.ok());
  EXPECT_NE(begun->recording, nullptr);
}

TEST(ReplayCacheTest, TheOrderOfAMapIsNoContent) {
  ReplayCache cache;
  v1::GenerateRequest one, two;
  for (uint32_t i = 0; i < 500; ++i) {
    (*one.mutable_sampling()->mutable_logit_bias())[i] = 1;
    (*two.mutable_sampling()->mutable_logit_bias())[499 - i] = 1;
  }
  cache.Begin("a", one)->recording->End(absl::OkStatus());
  EXPECT_TRUE(cache.Begin("a", two).ok());
  (*two.mutable_sampling()->mutable_logit_bias())[7] = 2;
  EXPECT_FALSE(cache.Begin("a", two).ok());
}

TEST(ReplayCacheTest, ACallThatWasRefusedIsTriedAgain) {
  ReplayCache cache;
  for (const absl::Status& status : {absl::InvalidArgumentError(""), absl::AbortedError(""),
                                     absl::ResourceExhaustedError(""), absl::UnavailableError("")}) {
    RunCall(cache, "a", {}, status);
    EXPECT_FALSE(IsKept(cache, "a")) << status;
  }
}

TEST(ReplayCacheTest, ACallThatFailedOtherwiseOrHalfwayIsKept) {
  ReplayCache cache;
  RunCall(cache, "not-found", {}, absl::NotFoundError(""));
  RunCall(cache, "cancelled", {}, absl::CancelledError(""));
  RunCall(cache, "halfway", {"one"}, absl::UnavailableError(""));
  for (const char* id : {"not-found", "cancelled", "halfway"}) EXPECT_TRUE(IsKept(cache, id)) << id;
}

TEST(ReplayCacheTest, ACallThatNeverEndedIsForgotten) {
  ReplayCache cache({.bytes_max = 1000, .call_bytes_max = 1000});
  for (int i = 0; i < 3; ++i) {
    const auto begun = cache.Begin("a", Create("a"));
    ASSERT_NE(begun->recording, nullptr);
    begun->recording->Add(Named(std::string(600, 'x')));  // twice would not fit
  }
  RunCall(cache, "a", {std::string(600, 'x')});
  EXPECT_TRUE(IsKept(cache, "a"));
}

TEST(ReplayCacheTest, TheOldestAnswersGiveWayToMoreCalls) {
  ReplayCache cache({.calls_max = 3});
  const auto running = cache.Begin("running", Create("running"));
  for (const char* id : {"1", "2", "3", "4"}) RunCall(cache, id, {id});
  EXPECT_FALSE(IsKept(cache, "1"));
  for (const char* id : {"2", "3", "4"}) EXPECT_TRUE(IsKept(cache, id)) << id;
  running->recording->End(absl::OkStatus());
  EXPECT_TRUE(IsKept(cache, "running"));
  EXPECT_FALSE(IsKept(cache, "2"));
}

TEST(ReplayCacheTest, TheOldestAnswersGiveWayToMoreBytes) {
  ReplayCache cache({.bytes_max = 3000, .call_bytes_max = 2000});
  for (const char* id : {"1", "2", "3"}) RunCall(cache, id, {std::string(1200, 'x')});
  EXPECT_FALSE(IsKept(cache, "1"));
  EXPECT_TRUE(IsKept(cache, "2"));
  EXPECT_TRUE(IsKept(cache, "3"));
}

TEST(ReplayCacheTest, MoreMessagesThanACallMayKeepAreRefusedToTheRepeat) {
  ReplayCache cache({.bytes_max = 3000, .call_bytes_max = 2000});
  RunCall(cache, "big", {std::string(1200, 'x'), std::string(1200, 'x'), "one"});
  const absl::Status status = cache.Begin("big", Create("big")).status();
  EXPECT_EQ(DetailOf(status).field, "request_id");
  EXPECT_THAT(std::string(status.message()), HasSubstr("2000"));
  for (const char* id : {"1", "2"}) RunCall(cache, id, {std::string(1200, 'x')});  // it holds no bytes
  EXPECT_TRUE(IsKept(cache, "1"));
}

TEST(ReplayCacheTest, CallsThatRunShareTheBytesToo) {
  ReplayCache cache({.bytes_max = 3000, .call_bytes_max = 2000});
  RunCall(cache, "old", {std::string(1200, 'x')});
  const auto one = cache.Begin("1", Create("1")), two = cache.Begin("2", Create("2")),
             three = cache.Begin("3", Create("3"));
  for (const auto* begun : {&one, &two, &three}) (*begun)->recording->Add(Named(std::string(1200, 'x')));
  for (const auto* begun : {&one, &two, &three}) (*begun)->recording->End(absl::OkStatus());
  EXPECT_FALSE(IsKept(cache, "old"));
  EXPECT_TRUE(IsKept(cache, "1"));
  EXPECT_TRUE(IsKept(cache, "2"));
  EXPECT_EQ(DetailOf(cache.Begin("3", Create("3")).status()).field, "request_id");
}

TEST(ReplayCacheTest, OfCallsThatComeTogetherOneRuns) {
  ReplayCache cache;
  constexpr int kThreads = 8, kRounds = 200;
  std::vector<int> firsts(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&cache, &firsts, t] {
      for (int i = 0; i < kRounds; ++i) {
        const auto begun = cache.Begin(absl::StrCat(i), Create("x"));
        if (!begun.ok()) {
          EXPECT_EQ(DetailOf(begun.status()).reason, ErrorReason::kRequestRunning);
        } else if (begun->recording != nullptr) {
          ++firsts[t];
          begun->recording->Add(Named("one"));
          begun->recording->End(absl::OkStatus());
        } else {
          EXPECT_EQ(begun->answer->messages.size(), 1);
        }
      }
    });
  }
  int sum = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads[t].join();
    sum += firsts[t];
  }
  EXPECT_EQ(sum, kRounds);
}

}  // namespace
}  // namespace barista
