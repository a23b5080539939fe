#include <cuda_runtime.h>

#include <cstring>

#include "kernels/cuda/device_step.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"

namespace barista {
namespace {

constexpr int64_t kAlignment = 16;

int64_t Padded(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

absl::StatusOr<std::unique_ptr<StepStage>> StepStage::Create(int64_t rows_max) {
  std::unique_ptr<StepStage> stage(new StepStage(rows_max));
  for (const size_t each :
       {sizeof(Segment), sizeof(Run), sizeof(Chunk), sizeof(int32_t), sizeof(int32_t), sizeof(int64_t)}) {
    stage->bytes_ += Padded(rows_max * static_cast<int64_t>(each));  // each list has at most an entry a row
  }
  absl::StatusOr<Buffer> device = AllocateDevice(stage->bytes_, "a step's lists");
  if (!device.ok()) return device.status();
  stage->device_ = *std::move(device);
  absl::StatusOr<Buffer> pinned = AllocatePinned(stage->bytes_ * kCopies, "a step's lists");
  if (!pinned.ok()) return pinned.status();
  stage->pinned_ = *std::move(pinned);
  for (cudaEvent_t& event : stage->copied_) {
    const cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    if (error != cudaSuccess) return ToStatus(error, "an event");
  }
  return stage;
}

StepStage::~StepStage() {
  for (cudaEvent_t event : copied_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
}

const DeviceStep& StepStage::StageDecodes(Segments segments, absl::Span<const int32_t> tokens,
                                          absl::Span<const int64_t> positions, int64_t rows, CudaQueue& queue) {
  segments_.assign(segments.begin(), segments.end());
  tokens_.assign(tokens.begin(), tokens.end());
  positions_.assign(positions.begin(), positions.end());
  for (int64_t row = static_cast<int64_t>(segments_.size()); row < rows; ++row) {
    segments_.push_back({.slot = -1, .row = static_cast<int32_t>(row), .rows = 0});
  }
  tokens_.resize(rows);
  positions_.resize(rows);
  return Stage(segments_, tokens_, positions_, queue);
}

const DeviceStep& StepStage::Stage(Segments segments, absl::Span<const int32_t> tokens,
                                   absl::Span<const int64_t> positions, CudaQueue& queue) {
  plan_.Make(segments, static_cast<int64_t>(positions.size()));
  step_ = {.rows = static_cast<int32_t>(positions.size()),
           .decode_runs = plan_.decode_runs,
           .prefill_runs = static_cast<int32_t>(plan_.runs.size()) - plan_.decode_runs,
           .chunk_count = static_cast<int32_t>(plan_.chunks.size())};
  cudaEvent_t copied = copied_[next_];
  cudaError_t error = cudaEventSynchronize(copied);  // the copy before last but two: long done
  std::byte* host = pinned_.data() + next_ * bytes_;
  next_ = (next_ + 1) % kCopies;
  int64_t used = 0;
  const auto put = [&]<class T>(absl::Span<const T> list, const T*& on_device) {
    on_device = reinterpret_cast<const T*>(device_.data() + used);
    if (!list.empty()) std::memcpy(host + used, list.data(), list.size() * sizeof(T));
    used += Padded(static_cast<int64_t>(list.size() * sizeof(T)));
  };
  put(segments, step_.segments);
  put(absl::MakeConstSpan(plan_.runs), step_.runs);
  put(absl::MakeConstSpan(plan_.chunks), step_.chunks);
  put(absl::MakeConstSpan(plan_.run_of_row), step_.run_of_row);
  put(tokens, step_.tokens);
  put(positions, step_.positions);
  if (error == cudaSuccess) {
    error = cudaMemcpyAsync(device_.data(), host, used, cudaMemcpyHostToDevice, queue.stream());
  }
  if (error == cudaSuccess) error = cudaEventRecord(copied, queue.stream());
  if (error != cudaSuccess) queue.Fail(ToStatus(error, "a step's lists"));
  return step_;
}

}  // namespace barista
