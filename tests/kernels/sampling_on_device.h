// The device's sampler on one row of the host.
#pragma once

#include <vector>

#include "kernels/sampling/sampling_cuda.h"
#include "tests/support/device.h"

namespace barista::test {

// run(sampler, logits, results, queue) on a copy of the row.
template <class Run>
SampleResult OnDeviceRow(const std::vector<float>& logits, const Run& run) {
  const int64_t vocab = static_cast<int64_t>(logits.size());
  Device device(logits);
  const std::unique_ptr<CudaSampler> sampler = *CudaSampler::Create(1, 1, vocab);
  SampleResult result;
  const Rows rows = {device.At(const_cast<float*>(logits.data())), DType::kF32, 1, vocab, vocab};
  run(*sampler, rows, absl::MakeSpan(&result, 1), device.queue());
  return result;
}

inline SampleResult SampleOnDevice(const std::vector<float>& logits, const SampleRow& row) {
  return OnDeviceRow(
      logits, [&row](CudaSampler& sampler, const Rows& rows, absl::Span<SampleResult> results, CudaQueue& queue) {
        sampler.Sample(rows, {&row, 1}, results, queue);
      });
}

inline SampleResult LogprobsOnDevice(const std::vector<float>& logits, int32_t target, int32_t k) {
  return OnDeviceRow(logits,
                     [&](CudaSampler& sampler, const Rows& rows, absl::Span<SampleResult> results, CudaQueue& queue) {
                       sampler.Logprobs(rows, {&target, 1}, k, results, queue);
                     });
}

}  // namespace barista::test
