// Sampling on a device: parameters and lists go there in one copy, results come back in one.
#pragma once

#include <array>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/buffer.h"
#include "kernels/cuda/queue.h"
#include "kernels/sampling/sample_lists_cuda.h"
#include "kernels/sampling/sample_row_cuda.h"
#include "kernels/sampling/sampling.h"

struct CUevent_st;  // CUDA's own name behind cudaEvent_t

namespace barista {

// Used by one thread at a time. Two ways: Sample and Logprobs on logits that are there; and draws, for recorded steps:
// the kernels of RecordDraws take their rows from where StageDraws puts them later, and TakeDraws brings the results.
class CudaSampler {
 public:
  // rows_max: of one call's logits. draws_max: of one step. Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<CudaSampler>> Create(int64_t rows_max, int64_t draws_max, int64_t vocab);
  ~CudaSampler();
  CudaSampler(const CudaSampler&) = delete;
  CudaSampler& operator=(const CudaSampler&) = delete;

  // As Backend's; logits.rows is at most rows_max and k at most kDeviceTopMax. They wait for the device. Results are
  // not finite where the queue failed.
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results, CudaQueue& queue);
  void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k, absl::Span<SampleResult> results,
                CudaQueue& queue);

  // As Backend::Draw.
  void RecordDraws(const Rows& logits, int64_t first, CudaQueue& queue);
  // The draws of the step that is launched next, idle ones behind them up to `count` of both. False where they ask for
  // more than a recorded step gives (the most likely tokens, very long lists): then nothing is staged.
  bool StageDraws(absl::Span<const SampleRow> draws, int64_t count, CudaQueue& queue);
  void CollectDraws(CudaQueue& queue);  // queued behind the step; two steps' may wait to be taken
  // Waits for the oldest that were collected: the first results.size() of the draws.
  void TakeDraws(absl::Span<SampleResult> results, CudaQueue& queue);
  // The step and its draws, one token further; queued behind CollectDraws.
  void Advance(const DeviceStep& step, CudaQueue& queue);

 private:
  CudaSampler(SampleLists lists, SampleLists draws, int64_t draws_max)
      : lists_(std::move(lists)), draws_(std::move(draws)), draws_max_(draws_max) {}
  void Run(const Rows& logits, absl::Span<SampleResult> results, CudaQueue& queue);
  void Launch(const Rows& logits, int64_t first, const SampleLists& lists, CudaQueue& queue);
  void Collect(int64_t rows, bool with_tops, CudaQueue& queue);
  void Take(absl::Span<SampleResult> results, CudaQueue& queue);

  SampleLists lists_, draws_;
  int64_t draws_max_;
  Buffer scratch_;
  // Results of draws_max rows, then tops of rows_max; on the host in copies that take turns.
  struct Collected {
    Buffer pinned;
    CUevent_st* done = nullptr;
  };
  Buffer results_;
  std::array<Collected, 2> collected_;
  uint64_t collects_ = 0, takes_ = 0;
};

}  // namespace barista
