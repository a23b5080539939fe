// Sampling on a device: parameters and lists go there in one copy, results come back in one.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/buffer.h"
#include "kernels/cuda/queue.h"
#include "kernels/sampling/sample_row_cuda.h"
#include "kernels/sampling/sampling.h"

namespace barista {

// Used by one thread at a time.
class CudaSampler {
 public:
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<CudaSampler>> Create(int64_t rows_max, int64_t vocab);

  // As Backend's; logits.rows is at most rows_max and k at most kDeviceTopMax. They wait for the device. Results are
  // not finite where the queue failed.
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results, CudaQueue& queue);
  void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k, absl::Span<SampleResult> results,
                CudaQueue& queue);

 private:
  CudaSampler(int64_t rows_max, int64_t vocab) : rows_max_(rows_max), vocab_(vocab) {}
  absl::Status FitLists(size_t bytes);
  void Run(const Rows& logits, absl::Span<SampleResult> results, CudaQueue& queue);

  int64_t rows_max_, vocab_;
  // Of the step: what goes to the device.
  std::vector<DeviceSampleRow> rows_;
  std::vector<IdBias> biases_;
  std::vector<TokenCount> counts_;
  std::vector<int32_t> forbidden_;
  Buffer pinned_lists_, lists_;
  Buffer scratch_;
  Buffer results_, pinned_results_;  // results, then tops
};

}  // namespace barista
