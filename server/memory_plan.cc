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

absl::StatusOr<MemoryPlan> PlanMemory(const MemoryRoom& room, const MemoryWish& wish, const SessionBytes& session) {
  const bool device = room.device.has_value();
  if (device && wish.memory_bytes > *room.device) {
    return absl::ResourceExhaustedError(absl::StrCat("memory_bytes: ", wish.memory_bytes, " bytes are more than the ",
                                                     *room.device, " that are free on the device"));
  }
  const int64_t host = device || wish.memory_bytes == 0 ? room.host / 10 * 8 : wish.memory_bytes;
  MemoryPlan plan = {.memory_bytes = host};
  if (device) plan.memory_bytes = wish.memory_bytes > 0 ? wish.memory_bytes : *room.device / 100 * 95;
  plan.checkpoint_bytes =
      wish.checkpoint_bytes >= 0 ? wish.checkpoint_bytes : std::min(host / 16, kCheckpointBytesDefaultMax);

  const int64_t kept = wish.replay_bytes + wish.host_state_bytes + plan.checkpoint_bytes;
  const int64_t beside = device ? 0 : kept, each = session.slot + (device ? 0 : session.host);
  const int64_t fit = (plan.memory_bytes - wish.fixed_bytes - beside) / each;
  const int64_t wanted = wish.sessions_max > 0 ? wish.sessions_max : 1;
  if (fit < wanted) {
    const std::string host_needs = device ? "" : absl::StrCat(", states kept in the host's memory ", beside);
    return absl::ResourceExhaustedError(absl::StrCat("memory_bytes: ", plan.memory_bytes, " bytes ",
                                                     device ? "of the device " : "",
                                                     "are too few: weights and workspace need ", wish.fixed_bytes,
                                                     host_needs, " and ", wanted, " sessions ", wanted * each));
  }
  plan.slots = static_cast<int32_t>(wish.sessions_max > 0 ? wish.sessions_max : std::min(fit, kSlotsDefaultMax));
  if (device && kept + plan.slots * session.host > host) {
    return absl::ResourceExhaustedError(absl::StrCat("the host's memory: ", host,
                                                     " bytes are too few: states kept there need ", kept, " and ",
                                                     plan.slots, " sessions ", plan.slots * session.host));
  }
  return plan;
}

}  // namespace barista
