// A step's lists as kernels read them: copied to the device once a step, before its first kernel.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/buffer.h"
#include "kernels/cuda/queue.h"
#include "kernels/cuda/step_plan.h"
#include "kernels/cuda/step_rows.h"

struct CUevent_st;  // CUDA's own name behind cudaEvent_t

namespace barista {

// All pointers are of the device. Kernels launch a block a run or a chunk, so the host needs the counts.
struct DeviceStep {
  const Segment* segments = nullptr;
  const Run* runs = nullptr;  // decode runs, then prefill runs
  const Chunk* chunks = nullptr;
  const int32_t* run_of_row = nullptr;
  const int32_t* tokens = nullptr;
  const int64_t* positions = nullptr;
  int32_t rows = 0;
  int32_t decode_runs = 0;
  int32_t prefill_runs = 0;
  int32_t chunk_count = 0;
};

inline StepRows PrefillRows(const DeviceStep& step) {
  if (step.decode_runs == 0) return {};
  return {step.run_of_row, step.decode_runs};
}

// Packs the lists into pinned memory and copies them in one piece. Several pinned copies take turns, so that the host
// may prepare a step while the device still reads that of the last one.
class StepStage {
 public:
  // rows_max: of a step. Errors: RESOURCE_EXHAUSTED, INTERNAL.
  static absl::StatusOr<std::unique_ptr<StepStage>> Create(int64_t rows_max);
  ~StepStage();
  StepStage(const StepStage&) = delete;
  StepStage& operator=(const StepStage&) = delete;

  // Valid until the next Stage. tokens may be empty; positions has a row's position each.
  const DeviceStep& Stage(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const int64_t> positions,
                          CudaQueue& queue);
  // The same of decodes, each in a sequence of its own, followed by runs of no row up to `rows` of both: where the
  // lists lie then depends on `rows` alone.
  const DeviceStep& StageDecodes(Segments segments, absl::Span<const int32_t> tokens,
                                 absl::Span<const int64_t> positions, int64_t rows, CudaQueue& queue);
  int64_t rows_max() const { return rows_max_; }

 private:
  static constexpr int kCopies = 4;
  explicit StepStage(int64_t rows_max) : rows_max_(rows_max) {}

  int64_t rows_max_;
  int64_t bytes_ = 0;  // of one copy
  Buffer device_;
  Buffer pinned_;
  std::array<CUevent_st*, kCopies> copied_ = {};
  int next_ = 0;
  StepPlan plan_;
  std::vector<Segment> segments_;  // of StageDecodes
  std::vector<int32_t> tokens_;
  std::vector<int64_t> positions_;
  DeviceStep step_;
};

}  // namespace barista
