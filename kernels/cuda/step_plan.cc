#include "kernels/cuda/step_plan.h"

#include <algorithm>

namespace barista {

void StepPlan::Make(Segments segments, int64_t rows) {
  runs.clear();
  chunks.clear();
  run_of_row.assign(rows, -1);
  const auto collect = [&](bool prefill) {
    for (size_t i = 0; i < segments.size(); ++i) {
      const Segment& s = segments[i];
      if (s.prefill != prefill || s.from >= 0) continue;
      Run run = {.segment = static_cast<int32_t>(i), .row = s.row, .rows = s.rows, .position = s.position};
      while (i + 1 < segments.size() && segments[i + 1].from >= 0) {
        ++run.segments;
        run.rows += segments[++i].rows;
      }
      std::fill_n(run_of_row.begin() + run.row, run.rows, static_cast<int32_t>(runs.size()));
      run.first_chunk = static_cast<int32_t>(chunks.size());
      for (int32_t done = 0; prefill && done < run.rows; done += chunks.back().rows) {
        const int64_t position = run.position + done;
        chunks.push_back({.segment = run.segment,
                          .row = run.row + done,
                          .rows = static_cast<int32_t>(std::min<int64_t>(run.rows - done, kChunk - position % kChunk)),
                          .run_row = run.row,
                          .position = position});
      }
      run.chunks = static_cast<int32_t>(chunks.size()) - run.first_chunk;
      runs.push_back(run);
    }
  };
  collect(false);
  decode_runs = static_cast<int32_t>(runs.size());
  collect(true);
}

}  // namespace barista
