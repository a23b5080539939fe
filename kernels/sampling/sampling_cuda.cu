#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/sampling/adjust.h"
#include "kernels/sampling/sampling_cuda.h"

namespace barista {
namespace {

constexpr size_t kAlignment = 16;
constexpr size_t kListBytesARow = size_t{64}
                                  << 10;  // penalties of 4096 ids and some biases; more makes room when it comes

size_t Padded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

size_t TopsOffset(int64_t rows) { return Padded(rows * sizeof(DeviceSampleResult)); }

}  // namespace

absl::StatusOr<std::unique_ptr<CudaSampler>> CudaSampler::Create(int64_t rows_max, int64_t vocab) {
  std::unique_ptr<CudaSampler> sampler(new CudaSampler(rows_max, vocab));
  const auto device = [](size_t bytes, Buffer& to) {
    absl::StatusOr<Buffer> buffer = AllocateDevice(bytes, "sampling");
    if (buffer.ok()) to = *std::move(buffer);
    return buffer.status();
  };
  const size_t results = TopsOffset(rows_max) + rows_max * kDeviceTopMax * sizeof(TokenLogprob);
  if (absl::Status status = device(rows_max * vocab * sizeof(float), sampler->scratch_); !status.ok()) return status;
  if (absl::Status status = device(results, sampler->results_); !status.ok()) return status;
  absl::StatusOr<Buffer> pinned = AllocatePinned(results, "sampling");
  if (!pinned.ok()) return pinned.status();
  sampler->pinned_results_ = *std::move(pinned);
  if (absl::Status status = sampler->FitLists(rows_max * kListBytesARow); !status.ok()) return status;
  return sampler;
}

absl::Status CudaSampler::FitLists(size_t bytes) {
  if (bytes <= lists_.size()) return absl::OkStatus();
  absl::StatusOr<Buffer> device = AllocateDevice(bytes, "sampling");
  if (!device.ok()) return device.status();
  absl::StatusOr<Buffer> pinned = AllocatePinned(bytes, "sampling");
  if (!pinned.ok()) return pinned.status();
  lists_ = *std::move(device);
  pinned_lists_ = *std::move(pinned);
  return absl::OkStatus();
}

void CudaSampler::Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results,
                         CudaQueue& queue) {
  rows_.clear();
  biases_.clear();
  counts_.clear();
  forbidden_.clear();
  for (const SampleRow& row : rows) {
    const SamplingParams& p = *row.params;
    rows_.push_back({.seed = p.seed,
                     .choice = row.choice,
                     .position = row.position,
                     .temperature = p.temperature,
                     .top_p = p.top_p,
                     .min_p = p.min_p,
                     .typical_p = p.typical_p,
                     .repetition_penalty = p.repetition_penalty,
                     .presence_penalty = p.presence_penalty,
                     .frequency_penalty = p.frequency_penalty,
                     .top_k = p.top_k,
                     .top_logprobs = row.top_logprobs,
                     .biases_begin = static_cast<int32_t>(biases_.size()),
                     .biases = static_cast<int32_t>(p.logit_bias.size()),
                     .counts_begin = static_cast<int32_t>(counts_.size()),
                     .counts = static_cast<int32_t>(row.counts.size()),
                     .forbidden_begin = static_cast<int32_t>(forbidden_.size()),
                     .forbidden = static_cast<int32_t>(row.forbidden.size()),
                     .adjusts = NeedsAdjust(row)});
    for (const auto& [id, bias] : p.logit_bias) biases_.push_back({id, bias});
    counts_.insert(counts_.end(), row.counts.begin(), row.counts.end());
    forbidden_.insert(forbidden_.end(), row.forbidden.begin(), row.forbidden.end());
  }
  Run(logits, results, queue);
}

void CudaSampler::Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                           absl::Span<SampleResult> results, CudaQueue& queue) {
  rows_.clear();
  biases_.clear();
  counts_.clear();
  forbidden_.clear();
  for (const int32_t target : targets) rows_.push_back({.top_logprobs = std::max(k, 0), .target = target});
  Run(logits, results, queue);
}

void CudaSampler::Run(const Rows& logits, absl::Span<SampleResult> results, CudaQueue& queue) {
  const int64_t count = static_cast<int64_t>(rows_.size());
  std::fill(results.begin(), results.end(), SampleResult{.finite = false});
  if (count == 0 || !queue.ok()) return;
  const size_t bytes = Padded(rows_.size() * sizeof(DeviceSampleRow)) + Padded(biases_.size() * sizeof(IdBias)) +
                       Padded(counts_.size() * sizeof(TokenCount)) + Padded(forbidden_.size() * sizeof(int32_t));
  if (absl::Status status = FitLists(bytes); !status.ok()) return queue.Fail(status);
  DeviceSampleLists lists;
  size_t used = 0;
  const auto put = [&]<class T>(const std::vector<T>& list, const T*& on_device) {
    on_device = reinterpret_cast<const T*>(lists_.data() + used);
    if (!list.empty()) std::memcpy(pinned_lists_.data() + used, list.data(), list.size() * sizeof(T));
    used += Padded(list.size() * sizeof(T));
  };
  put(rows_, lists.rows);
  put(biases_, lists.biases);
  put(counts_, lists.counts);
  put(forbidden_, lists.forbidden);

  cudaError_t error =
      cudaMemcpyAsync(lists_.data(), pinned_lists_.data(), used, cudaMemcpyHostToDevice, queue.stream());
  if (error != cudaSuccess) return queue.Fail(ToStatus(error, "sampling's lists"));
  const size_t tops_offset = TopsOffset(count);
  SampleRowsCuda(logits.Slice(0, count), lists, reinterpret_cast<float*>(scratch_.data()),
                 reinterpret_cast<DeviceSampleResult*>(results_.data()),
                 reinterpret_cast<TokenLogprob*>(results_.data() + tops_offset), queue);
  if (!queue.ok()) return;
  const bool with_tops =
      std::any_of(rows_.begin(), rows_.end(), [](const DeviceSampleRow& row) { return row.top_logprobs > 0; });
  const size_t wanted = tops_offset + (with_tops ? count * kDeviceTopMax * sizeof(TokenLogprob) : 0);
  error = cudaMemcpyAsync(pinned_results_.data(), results_.data(), wanted, cudaMemcpyDeviceToHost, queue.stream());
  if (error == cudaSuccess) error = cudaStreamSynchronize(queue.stream());
  if (error != cudaSuccess) return queue.Fail(ToStatus(error, "sampling's results"));
  const auto* result = reinterpret_cast<const DeviceSampleResult*>(pinned_results_.data());
  const auto* tops = reinterpret_cast<const TokenLogprob*>(pinned_results_.data() + tops_offset);
  for (int64_t r = 0; r < count; ++r) {
    results[r].token = result[r].token;
    results[r].finite = result[r].finite != 0;
    results[r].logprob = result[r].logprob;
    results[r].top.assign(tops + r * kDeviceTopMax, tops + r * kDeviceTopMax + result[r].tops);
  }
}

}  // namespace barista
