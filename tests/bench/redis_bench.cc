// What it costs to hand a session from one server to another through Redis.
//
//   redis_bench --redis=HOST:PORT [--bytes=6000000] [--count=100]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "server/store/redis_connection.h"
#include "server/store/redis_registry.h"

ABSL_FLAG(std::string, redis, "127.0.0.1:6379", "HOST:PORT");
ABSL_FLAG(size_t, bytes, 6'000'000, "bytes of a session");
ABSL_FLAG(int, count, 100, "how often");

namespace barista::bench {
namespace {

// Runs `call` and adds the milliseconds that it took.
template <class Call>
auto Timed(std::vector<double>& times_ms, const Call& call) {
  const auto begin = std::chrono::steady_clock::now();
  auto result = call();
  times_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  return result;
}

void PrintRow(const char* what, std::vector<double> times_ms) {
  std::sort(times_ms.begin(), times_ms.end());
  std::printf("| %s | %.2f | %.2f |\n", what, times_ms[times_ms.size() / 2], times_ms.back());
}

absl::Status Run() {
  const absl::StatusOr<RedisAddress> address = ParseRedisAddress(absl::GetFlag(FLAGS_redis));
  if (!address.ok()) return address.status();
  RedisRegistry registry(std::make_unique<RedisConnection>(RedisConnectionOptions{.address = *address}), "bench");
  const std::string state(absl::GetFlag(FLAGS_bytes), 's');
  absl::StatusOr<uint64_t> epoch = registry.Create("session");
  if (!epoch.ok()) return epoch.status();
  std::vector<double> park, claim, confirm;
  for (int i = 0; i < absl::GetFlag(FLAGS_count); ++i) {
    const absl::Status parked = Timed(park, [&] { return registry.Park("session", *epoch, state); });
    if (!parked.ok()) return parked;
    const auto claimed = Timed(claim, [&] { return registry.Claim("session"); });
    if (!claimed.ok()) return claimed.status();
    epoch = claimed->epoch;
    const absl::Status confirmed = Timed(confirm, [&] { return registry.Confirm("session", *epoch); });
    if (!confirmed.ok()) return confirmed;
  }
  std::printf("%zu bytes, %zu times\n\n| call | ms, median | ms, longest |\n|---|---|---|\n", state.size(),
              park.size());
  PrintRow("Park", park);
  PrintRow("Claim", claim);
  PrintRow("Confirm", confirm);
  return registry.Forget("session", *epoch);
}

}  // namespace
}  // namespace barista::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = barista::bench::Run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
