// What a step's rows ask of the sampler, packed on the host and copied to the device in one piece.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/buffer.h"
#include "kernels/cuda/queue.h"
#include "kernels/sampling/sample_row_cuda.h"
#include "kernels/sampling/sampling.h"

namespace barista {

class SampleLists {
 public:
  // Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<SampleLists> Create(size_t bytes);

  // The rows that Copy takes to the device.
  void Clear();
  void Add(const SampleRow& row);
  void AddTarget(int32_t target, int32_t top_logprobs);  // whose log-probability is asked for
  void AddIdle();
  int64_t rows() const { return static_cast<int64_t>(rows_.size()); }
  bool asks_for_tops() const { return asks_for_tops_; }

  size_t bytes() const;  // of what was added
  bool fits() const { return bytes() <= device_.size(); }
  // Room for what was added. Errors: RESOURCE_EXHAUSTED.
  absl::Status Fit();
  // fits(); nothing copied before may be under way any more.
  void Copy(CudaQueue& queue);
  // Of the device, the same until Fit.
  const DeviceSampleLists* on_device() const { return reinterpret_cast<const DeviceSampleLists*>(device_.data()); }

 private:
  SampleLists() = default;
  absl::Status Allocate(size_t bytes);

  std::vector<DeviceSampleRow> rows_;
  std::vector<IdBias> biases_;
  std::vector<TokenCount> counts_;
  std::vector<int32_t> forbidden_;
  std::vector<int32_t> ends_;
  bool asks_for_tops_ = false;
  Buffer pinned_, device_;
};

}  // namespace barista
