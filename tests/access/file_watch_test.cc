#include "server/access/file_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/mutex.h"
#include "tests/support/temp_dir.h"

namespace barista {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What a watch took, and a way to wait for it.
class Taken {
 public:
  absl::Status Take(const std::vector<std::string>& contents) {
    absl::MutexLock lock(&mutex_);
    seen_.push_back(contents);
    return contents.front() == "bad" ? absl::InvalidArgumentError("bad") : absl::OkStatus();
  }
  std::vector<std::vector<std::string>> WaitFor(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return seen_.size() >= count; };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20));
    return seen_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::vector<std::string>> seen_ ABSL_GUARDED_BY(mutex_);
};

TEST(FileWatchTest, NewContentsAreTakenTogetherAndBadOnesCounted) {
  const TempDir dir;
  const std::string a = dir.Write("a", "1"), b = dir.Write("b", "2");
  Metrics metrics;
  Taken taken;
  const FileWatch watch(
      {{"tls", {a, b}, {"1", "2"}, [&](const std::vector<std::string>& contents) { return taken.Take(contents); }}},
      metrics);
  dir.Write("a", "bad");
  EXPECT_THAT(taken.WaitFor(1).back(), ElementsAre("bad", "2"));
  dir.Write("a", "3");
  dir.Write("b", "4");
  EXPECT_THAT(taken.WaitFor(2).back(), ElementsAre("3", "4"));
  EXPECT_EQ(metrics.reload_failures("tls").Value(), 1);
  EXPECT_EQ(metrics.reload_failures("access").Value(), 0);
}

TEST(ReadSmallFileTest, NamesThePathAndWhatIsWrong) {
  const TempDir dir;
  const std::string big = dir.Write("big", std::string((4 << 20) + 1, 'x'));
  EXPECT_THAT(std::string(ReadSmallFile(big).status().message()), HasSubstr("4194304"));
  EXPECT_THAT(std::string(ReadSmallFile(dir.file("none")).status().message()), HasSubstr("/none: No such file"));
  EXPECT_THAT(std::string(ReadSmallFile(dir.path()).status().message()), HasSubstr("not a regular file"));
  EXPECT_EQ(*ReadSmallFile(dir.Write("empty", "")), "");
}

}  // namespace
}  // namespace barista
