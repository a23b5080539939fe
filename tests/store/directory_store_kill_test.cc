// A process that is killed while it puts and deletes states: the next one finds what was acknowledged.
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "absl/status/status.h"
#include "server/store/directory_store.h"
#include "tests/store/expected_states.h"
#include "tests/support/full.h"
#include "tests/support/temp_dir.h"

namespace barista {
namespace {

// Call `number` of a fixed sequence: each key in turn is made, replaced twice and deleted.
struct Call {
  explicit Call(int64_t number)
      : key("key" + std::to_string(number % 4)), round(number / 4 % 4), bytes(number * 7919 % 200'000, '\0') {
    std::mt19937 rng(number);
    for (char& byte : bytes) byte = static_cast<char>(rng());
  }
  bool is_delete() const { return round == 3; }
  bool replace() const { return round != 0; }

  std::string key;
  int64_t round;
  std::string bytes;
};

// What the child writes to the pipe when a call came back.
struct Answer {
  int64_t number;
  int64_t code;
};

void KillMyselfIn(int64_t microseconds) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer;
  itimerspec when = {};
  when.it_value = {.tv_sec = 0, .tv_nsec = microseconds * 1000};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &when, nullptr) != 0) _exit(2);
}

// The child: calls from `first` on. The timer starts before call first + `timer_after`; before the store opens for 0.
[[noreturn]] void RunUntilKilled(const std::string& path, int64_t first, int64_t timer_after, int64_t microseconds,
                                 int pipe) {
  if (timer_after == 0) KillMyselfIn(microseconds);
  const auto store = DirectoryStore::Open(path);
  if (!store.ok()) _exit(3);
  for (int64_t number = first;; ++number) {
    if (timer_after > 0 && number == first + timer_after) KillMyselfIn(microseconds);
    const Call call(number);
    const absl::Status status =
        call.is_delete() ? (*store)->Delete(call.key) : (*store)->Put(call.key, call.bytes, call.replace());
    const Answer answer = {.number = number, .code = static_cast<int64_t>(status.code())};
    if (write(pipe, &answer, sizeof(answer)) != sizeof(answer)) _exit(4);
  }
}

void Expect(ExpectedStates& expected, int64_t number, const absl::Status& status) {
  const Call call(number);
  call.is_delete() ? expected.Delete(call.key, status) : expected.Put(call.key, call.bytes, status);
}

TEST(DirectoryStoreKillTest, WhatWasAcknowledgedOutlivesTheProcess) {
  const bool full = test::WantsWholeCounts();
  const TempDir dir;
  const std::string path = dir.file("states");
  std::mt19937 rng(3);
  ExpectedStates expected;
  int64_t next = 0;
  for (int kill = 0; kill < (full ? 500 : 25); ++kill) {
    SCOPED_TRACE(testing::Message() << "kill " << kill);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const int64_t timer_after = rng() % 8, microseconds = 1 + rng() % 5000;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) RunUntilKilled(path, next, timer_after, microseconds, ends[1]);
    close(ends[1]);
    for (Answer answer; read(ends[0], &answer, sizeof(answer)) == sizeof(answer); next = answer.number + 1) {
      const absl::Status status(static_cast<absl::StatusCode>(answer.code), "");
      EXPECT_TRUE(status.ok() || absl::IsNotFound(status) || absl::IsAlreadyExists(status)) << status;
      Expect(expected, answer.number, status);
    }
    close(ends[0]);
    int ended = 0;
    ASSERT_EQ(waitpid(child, &ended, 0), child);
    ASSERT_TRUE(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL) << ended;
    Expect(expected, next++, absl::UnavailableError("killed"));

    const auto store = DirectoryStore::Open(path);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_NO_FATAL_FAILURE(expected.Check(**store));
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      EXPECT_TRUE(entry.path().extension() == ".state" || entry.path().filename() == "lock") << entry.path();
    }
  }
}

}  // namespace
}  // namespace barista
