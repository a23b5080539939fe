#include "kernels/cpu/cores.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace barista {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int AffinityCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());
}

// The limits of this process's group and of every group above it; version 1 knows only the innermost.
int CgroupCores() {
  int cores = 0;
  const auto limit = [&cores](int found) {
    if (found > 0) cores = cores == 0 ? found : std::min(cores, found);
  };
  std::string group(absl::StripPrefix(FirstLine("/proc/self/cgroup"), "0::"));
  for (; !group.empty() && group[0] == '/'; group.resize(group.rfind('/'))) {
    limit(CoresOfCpuMax(FirstLine(absl::StrCat("/sys/fs/cgroup", group, "/cpu.max"))));
  }
  limit(CoresOfCpuMax(FirstLine("/sys/fs/cgroup/cpu.max")));
  limit(CoresOfCpuMax(absl::StrCat(FirstLine("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), " ",
                                   FirstLine("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))));
  return cores;
}

}  // namespace

int CoresOfCpuMax(absl::string_view line) {
  const std::pair<std::string, std::string> fields = absl::StrSplit(line, absl::MaxSplits(' ', 1));
  int64_t quota = 0, period = 0;
  if (!absl::SimpleAtoi(fields.first, &quota) || !absl::SimpleAtoi(fields.second, &period)) return 0;
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::clamp<int64_t>(quota / period, 1, 1 << 20));
}

int UsableCores() {
  const int affinity = std::max(1, AffinityCores());
  const int cgroup = CgroupCores();
  return cgroup > 0 ? std::min(affinity, cgroup) : affinity;
}

}  // namespace barista
