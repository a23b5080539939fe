// Which rows of a step a kernel is for: those of the runs from the first one on (step_plan.h), or all.
#pragma once

#include <cstdint>

namespace barista {

struct StepRows {
  const int32_t* run_of_row = nullptr;  // of the device; null: all rows
  int32_t first_run = 0;
};

}  // namespace barista
