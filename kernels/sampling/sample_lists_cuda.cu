#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/sampling/adjust.h"
#include "kernels/sampling/sample_lists_cuda.h"

namespace barista {
namespace {

constexpr size_t kAlignment = 16;

size_t Padded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
size_t PaddedBytes(const std::vector<T>& list) {
  return Padded(list.size() * sizeof(T));
}

}  // namespace

absl::StatusOr<SampleLists> SampleLists::Create(size_t bytes) {
  SampleLists lists;
  if (absl::Status status = lists.Allocate(bytes); !status.ok()) return status;
  return lists;
}

absl::Status SampleLists::Allocate(size_t bytes) {
  absl::StatusOr<Buffer> device = AllocateDevice(bytes, "sampling");
  if (!device.ok()) return device.status();
  absl::StatusOr<Buffer> pinned = AllocatePinned(bytes, "sampling");
  if (!pinned.ok()) return pinned.status();
  device_ = *std::move(device);
  pinned_ = *std::move(pinned);
  return absl::OkStatus();
}

absl::Status SampleLists::Fit() { return fits() ? absl::OkStatus() : Allocate(bytes()); }

void SampleLists::Clear() {
  rows_.clear();
  biases_.clear();
  counts_.clear();
  forbidden_.clear();
  ends_.clear();
  asks_for_tops_ = false;
}

void SampleLists::Add(const SampleRow& row) {
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
                   .counts_room = row.counts_room,
                   .forbidden_begin = static_cast<int32_t>(forbidden_.size()),
                   .forbidden = static_cast<int32_t>(row.forbidden.size()),
                   .ends_begin = static_cast<int32_t>(ends_.size()),
                   .ends = static_cast<int32_t>(row.ends.size()),
                   .draws_left = row.draws_left,
                   .adjusts = NeedsAdjust(row) || row.counts_room > 0});
  for (const auto& [id, bias] : p.logit_bias) biases_.push_back({id, bias});
  counts_.insert(counts_.end(), row.counts.begin(), row.counts.end());
  counts_.resize(counts_.size() + static_cast<size_t>(row.counts_room));
  forbidden_.insert(forbidden_.end(), row.forbidden.begin(), row.forbidden.end());
  ends_.insert(ends_.end(), row.ends.begin(), row.ends.end());
  asks_for_tops_ = asks_for_tops_ || row.top_logprobs > 0;
}

void SampleLists::AddTarget(int32_t target, int32_t top_logprobs) {
  rows_.push_back({.top_logprobs = top_logprobs, .target = target});
  asks_for_tops_ = asks_for_tops_ || top_logprobs > 0;
}

void SampleLists::AddIdle() { rows_.push_back({.idle = true}); }

size_t SampleLists::bytes() const {
  return Padded(sizeof(DeviceSampleLists)) + PaddedBytes(rows_) + PaddedBytes(biases_) + PaddedBytes(counts_) +
         PaddedBytes(forbidden_) + PaddedBytes(ends_);
}

void SampleLists::Copy(CudaQueue& queue) {
  if (!queue.ok()) return;
  DeviceSampleLists head;
  size_t used = Padded(sizeof(head));
  const auto put = [&]<class T>(const std::vector<T>& list, int64_t& offset) {
    offset = static_cast<int64_t>(used);
    if (!list.empty()) std::memcpy(pinned_.data() + used, list.data(), list.size() * sizeof(T));
    used += PaddedBytes(list);
  };
  put(rows_, head.rows);
  put(biases_, head.biases);
  put(counts_, head.counts);
  put(forbidden_, head.forbidden);
  put(ends_, head.ends);
  std::memcpy(pinned_.data(), &head, sizeof(head));
  const cudaError_t error =
      cudaMemcpyAsync(device_.data(), pinned_.data(), used, cudaMemcpyHostToDevice, queue.stream());
  if (error != cudaSuccess) queue.Fail(ToStatus(error, "sampling's lists"));
}

}  // namespace barista
