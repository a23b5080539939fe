#include "server/memory_plan.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

constexpr int64_t kSlotsDefaultMax = 1024;
constexpr int64_t kCheckpointBytesDefaultMax = int64_t{256} << 20;

// The first number in a file, or max where there is none ("max" in a cgroup without a limit).
int64_t NumberIn(const char* path) {
  std::ifstream in(path);
  std::string word;
  int64_t number;
  if (in >> word && absl::SimpleAtoi(word, &number)) return number;
  return std::numeric_limits<int64_t>::max();
}

}  // namespace

int64_t AvailableMemoryBytes() {
  int64_t available = std::numeric_limits<int64_t>::max();
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key; meminfo >> key;) {
    int64_t kib;
    if (key == "MemAvailable:" && meminfo >> kib) available = kib * 1024;
  }
  available = std::min(available, NumberIn("/sys/fs/cgroup/memory.max"));
  return std::min(available, NumberIn("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
}

absl::StatusOr<MemoryPlan> PlanMemory(const MemoryWish& wish, int64_t bytes_per_session) {
  MemoryPlan plan = {.memory_bytes = wish.memory_bytes > 0 ? wish.memory_bytes : AvailableMemoryBytes() / 10 * 8};
  plan.checkpoint_bytes =
      wish.checkpoint_bytes >= 0 ? wish.checkpoint_bytes : std::min(plan.memory_bytes / 16, kCheckpointBytesDefaultMax);
  const int64_t fixed = wish.fixed_bytes + wish.host_state_bytes + plan.checkpoint_bytes;
  const int64_t fit = (plan.memory_bytes - fixed) / bytes_per_session;
  const int64_t wanted = wish.sessions_max > 0 ? wish.sessions_max : 1;
  if (fit < wanted) {
    return absl::ResourceExhaustedError(
        absl::StrCat("memory_bytes: ", plan.memory_bytes, " bytes are too few: weights and workspace need ",
                     wish.fixed_bytes, ", states kept in the host's memory ", fixed - wish.fixed_bytes, " and ", wanted,
                     " sessions ", wanted * bytes_per_session));
  }
  plan.slots = static_cast<int32_t>(wish.sessions_max > 0 ? wish.sessions_max : std::min(fit, kSlotsDefaultMax));
  return plan;
}

}  // namespace barista
