// How many cores this process may really use.
#pragma once

#include "absl/strings/string_view.h"

namespace barista {

// At least 1: the cores of the affinity mask, or fewer where a control group limits the share of time.
int UsableCores();

// Whole cores that a cgroup v2 cpu.max line ("200000 100000", "max 100000") allows, at least 1; 0: no limit.
int CoresOfCpuMax(absl::string_view line);

}  // namespace barista
