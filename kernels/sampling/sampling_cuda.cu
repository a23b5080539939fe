#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/sampling/sampling_cuda.h"

namespace barista {
namespace {

constexpr size_t kAlignment = 16;
constexpr size_t kListBytesARow = size_t{64} << 10;  // penalties of 4096 ids and some biases
constexpr size_t kDrawBytesARow = size_t{16} << 10;  // of recorded steps: penalties of 1300 ids a row, some more

size_t ResultBytes(int64_t rows) {
  return (rows * sizeof(DeviceSampleResult) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaSampler>> CudaSampler::Create(int64_t rows_max, int64_t draws_max, int64_t vocab) {
  absl::StatusOr<SampleLists> lists = SampleLists::Create((rows_max + 1) * kListBytesARow);
  if (!lists.ok()) return lists.status();
  absl::StatusOr<SampleLists> draws = SampleLists::Create((draws_max + 1) * kDrawBytesARow);
  if (!draws.ok()) return draws.status();
  draws_max = std::max(draws_max, rows_max);
  std::unique_ptr<CudaSampler> sampler(new CudaSampler(*std::move(lists), *std::move(draws), draws_max));
  const size_t bytes = ResultBytes(draws_max) + rows_max * kDeviceTopMax * sizeof(TokenLogprob);
  absl::StatusOr<Buffer> scratch = AllocateDevice(rows_max * vocab * sizeof(float), "sampling");
  if (!scratch.ok()) return scratch.status();
  absl::StatusOr<Buffer> results = AllocateDevice(bytes, "sampling");
  if (!results.ok()) return results.status();
  for (Collected& collected : sampler->collected_) {
    absl::StatusOr<Buffer> pinned = AllocatePinned(bytes, "sampling");
    if (!pinned.ok()) return pinned.status();
    collected.pinned = *std::move(pinned);
    const cudaError_t error = cudaEventCreateWithFlags(&collected.done, cudaEventDisableTiming);
    if (error != cudaSuccess) return ToStatus(error, "an event");
  }
  sampler->scratch_ = *std::move(scratch);
  sampler->results_ = *std::move(results);
  return sampler;
}

CudaSampler::~CudaSampler() {
  for (const Collected& collected : collected_) {
    if (collected.done != nullptr) cudaEventDestroy(collected.done);
  }
}

void CudaSampler::Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results,
                         CudaQueue& queue) {
  lists_.Clear();
  for (const SampleRow& row : rows) lists_.Add(row);
  Run(logits, results, queue);
}

void CudaSampler::Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                           absl::Span<SampleResult> results, CudaQueue& queue) {
  lists_.Clear();
  for (const int32_t target : targets) lists_.AddTarget(target, std::max(k, 0));
  Run(logits, results, queue);
}

void CudaSampler::Run(const Rows& logits, absl::Span<SampleResult> results, CudaQueue& queue) {
  const int64_t rows = lists_.rows();
  if (rows > 0 && queue.ok()) queue.Fail(lists_.Fit());
  if (rows > 0 && queue.ok()) {
    lists_.Copy(queue);
    Launch(logits.Slice(0, rows), 0, lists_, queue);
  }
  Collect(rows, lists_.asks_for_tops(), queue);
  Take(results, queue);
}

void CudaSampler::Launch(const Rows& logits, int64_t first, const SampleLists& lists, CudaQueue& queue) {
  SampleRowsCuda(logits, first, lists.on_device(), reinterpret_cast<float*>(scratch_.data()),
                 reinterpret_cast<DeviceSampleResult*>(results_.data()),
                 reinterpret_cast<TokenLogprob*>(results_.data() + ResultBytes(draws_max_)), queue);
}

void CudaSampler::RecordDraws(const Rows& logits, int64_t first, CudaQueue& queue) {
  Launch(logits, first, draws_, queue);
}

bool CudaSampler::StageDraws(absl::Span<const SampleRow> draws, int64_t count, CudaQueue& queue) {
  draws_.Clear();
  for (const SampleRow& draw : draws) draws_.Add(draw);
  while (draws_.rows() < count) draws_.AddIdle();
  if (!draws_.fits() || draws_.asks_for_tops()) return false;
  draws_.Copy(queue);
  return true;
}

void CudaSampler::CollectDraws(CudaQueue& queue) { Collect(draws_.rows(), false, queue); }
void CudaSampler::TakeDraws(absl::Span<SampleResult> results, CudaQueue& queue) { Take(results, queue); }

void CudaSampler::Advance(const DeviceStep& step, CudaQueue& queue) {
  AdvanceStepCuda(step, draws_.on_device(), reinterpret_cast<const DeviceSampleResult*>(results_.data()), queue);
}

void CudaSampler::Collect(int64_t rows, bool with_tops, CudaQueue& queue) {
  if (!queue.ok() || rows == 0) return;
  const Collected& to = collected_[collects_++ % collected_.size()];
  const size_t tops_begin = ResultBytes(draws_max_);
  const auto copy = [&](size_t begin, size_t bytes) {
    return cudaMemcpyAsync(to.pinned.data() + begin, results_.data() + begin, bytes, cudaMemcpyDeviceToHost,
                           queue.stream());
  };
  cudaError_t error = copy(0, rows * sizeof(DeviceSampleResult));
  if (error == cudaSuccess && with_tops) error = copy(tops_begin, rows * kDeviceTopMax * sizeof(TokenLogprob));
  if (error == cudaSuccess) error = cudaEventRecord(to.done, queue.stream());
  if (error != cudaSuccess) queue.Fail(ToStatus(error, "sampling's results"));
}

void CudaSampler::Take(absl::Span<SampleResult> results, CudaQueue& queue) {
  std::fill(results.begin(), results.end(), SampleResult{.finite = false});
  if (takes_ == collects_ || !queue.ok()) return;
  const Collected& from = collected_[takes_++ % collected_.size()];
  if (const cudaError_t error = cudaEventSynchronize(from.done); error != cudaSuccess) {
    return queue.Fail(ToStatus(error, "sampling's results"));
  }
  const auto* result = reinterpret_cast<const DeviceSampleResult*>(from.pinned.data());
  const auto* top = reinterpret_cast<const TokenLogprob*>(from.pinned.data() + ResultBytes(draws_max_));
  for (size_t r = 0; r < results.size(); ++r, ++result, top += kDeviceTopMax) {
    results[r].token = result->token;
    results[r].finite = result->finite != 0;
    results[r].logprob = result->logprob;
    results[r].top.assign(top, top + result->tops);
  }
}

}  // namespace barista
