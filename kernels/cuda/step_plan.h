// How kernels cut a step: runs of rows that follow each other in one sequence, and chunks of prefills.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/view.h"

namespace barista {

// Rows [row, row + rows) that one sequence passes through in order: a segment, or a chain of one-row segments
// (view.h), whose row i ends in the slot of segment `segment + i`. One block of a kernel walks a run. A run of no row
// fills up a recorded step (decode_graphs.h) and touches nothing; its slot is -1.
struct Run {
  int32_t segment = 0;
  int32_t segments = 1;
  int32_t row = 0;
  int32_t rows = 0;
  int64_t position = 0;
  int32_t first_chunk = 0;  // of the plan's chunks, prefill only
  int32_t chunks = 0;
};

// At most kChunk rows of a prefill between two absolute positions divisible by kChunk.
struct Chunk {
  int32_t segment = 0;
  int32_t row = 0;
  int32_t rows = 0;
  int32_t run_row = 0;  // the first row of its run
  int64_t position = 0;
};

struct StepPlan {
  std::vector<Run> runs;  // decode runs, then prefill runs
  int32_t decode_runs = 0;
  std::vector<Chunk> chunks;        // a run's lie together, in order
  std::vector<int32_t> run_of_row;  // [rows]; -1 where no segment covers the row

  // Fills the plan anew; allocates only where it is longer than any before.
  void Make(Segments segments, int64_t rows);
};

}  // namespace barista
