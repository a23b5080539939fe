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

absl::StatusOr<MemoryPlan> PlanMemory(int64_t memory_bytes, int64_t fixed_bytes, int64_t bytes_per_session,
                                      int64_t sessions_max) {
  MemoryPlan plan = {.memory_bytes = memory_bytes > 0 ? memory_bytes : AvailableMemoryBytes() / 10 * 8};
  const int64_t fit = (plan.memory_bytes - fixed_bytes) / bytes_per_session;
  const int64_t wanted = sessions_max > 0 ? sessions_max : 1;
  if (fit < wanted) {
    return absl::ResourceExhaustedError(absl::StrCat("memory_bytes: ", plan.memory_bytes,
                                                     " bytes are too few: weights and workspace need ", fixed_bytes,
                                                     " and ", wanted, " sessions ", wanted * bytes_per_session));
  }
  plan.slots = static_cast<int32_t>(sessions_max > 0 ? sessions_max : std::min(fit, kSlotsDefaultMax));
  return plan;
}

}  // namespace barista
