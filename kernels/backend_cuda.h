// The cuda backend: activations and state in float on one card, weights packed for its tensor cores, every operation
// queued on one stream.
#pragma once

#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cuda/decode_graphs.h"
#include "kernels/cuda/device_step.h"
#include "kernels/cuda/queue.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/sampling/sampling_cuda.h"

struct CUevent_st;  // CUDA's own name behind cudaEvent_t

namespace barista {

// Operations return when they are queued; Sample, Logprobs, Upload and Download wait. Reserve comes before the first
// operation on rows.
class CudaBackend : public Backend {
 public:
  // Errors: FAILED_PRECONDITION where there is no card or driver, naming what CUDA said; INVALID_ARGUMENT where there
  // are fewer cards; RESOURCE_EXHAUSTED; INTERNAL.
  static absl::StatusOr<std::unique_ptr<Backend>> Create(const BackendOptions& options);
  static int CountDevices();
  ~CudaBackend() override;

  std::string_view name() const override { return "cuda"; }
  std::string Describe() const override { return description_; }
  bool queues() const override { return true; }
  absl::Status status() const override { return queue_.status(); }
  DType activation_dtype() const override { return DType::kF32; }
  DType ring_dtype(DType weights) const override { return weights; }

  void BindThread() override;
  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                     Quantization quantization) override;
  absl::StatusOr<Buffer> Allocate(size_t bytes, absl::string_view what) override;
  std::optional<int64_t> FreeDeviceBytes() const override;
  absl::StatusOr<int64_t> Reserve(const StepSizes& sizes) override;

  bool BeginStep(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const int64_t> positions,
                 absl::Span<const SampleRow> draws) override;
  void TakeDraws(absl::Span<SampleResult> results) override { sampler_->TakeDraws(results, queue_); }
  bool ContinueStep() override;
  bool BeginRecording(Segments segments, absl::Span<const int32_t> tokens,
                      absl::Span<const int64_t> positions) override;
  void Draw(const Rows& logits, int64_t first) override { sampler_->RecordDraws(logits, first, queue_); }
  void EndRecording() override;
  void Embed(const EmbedArgs& args) override;
  void Norm(const NormArgs& args) override { NormCuda(args, queue_); }
  void Multiply(absl::Span<const LinearCall> calls) override { matmul_.Multiply(calls, queue_); }
  void NormMultiply(const NormArgs& norm, absl::Span<const LinearCall> calls) override {
    matmul_.NormMultiply(norm, calls, queue_);
  }
  void Conv1d(const Conv1dArgs& args) override { Conv1dCuda(args, *step_, queue_); }
  void Rglru(const RglruArgs& args) override {
    RglruCuda(args, *step_, workspace(), matmul_.TargetFor(args.for_products ? args.y : Rows{}), queue_);
  }
  // theta and head_dim are those of Reserve: the step has their angles.
  void Rotate(const RotateArgs& args) override { RotateCuda(args, angles(), queue_, {}); }
  void GroupSoftmax(const GroupSoftmaxArgs& args) override { GroupSoftmaxCuda(args, queue_, {}); }
  void Latte(const LatteArgs& args) override { LatteCuda(args, *step_, workspace(), queue_); }
  void BidirectionalLatte(const BidirectionalLatteArgs& args) override {
    BidirectionalLatteCuda(args, *step_, workspace(), queue_);
  }
  void WindowAttention(const WindowAttentionArgs& args) override { WindowAttentionCuda(args, *step_, queue_); }
  void Attend(const AttendArgs& args) override;
  void Gelu(const GeluArgs& args) override { GeluCuda(args, queue_); }
  void Glu(const GluArgs& args) override { GluCuda(args, queue_); }
  void Add(const AddArgs& args) override { AddCuda(args, queue_); }
  void Softcap(const SoftcapArgs& args) override { SoftcapCuda(args, queue_); }
  void KeepLastRows(const KeepLastRowsArgs& args) override { KeepLastRowsCuda(args, *step_, queue_); }
  void LoadSlotRows(const LoadSlotRowsArgs& args) override { LoadSlotRowsCuda(args, queue_); }
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) override {
    sampler_->Sample(logits, rows, results, queue_);
  }
  void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                absl::Span<SampleResult> results) override {
    sampler_->Logprobs(logits, targets, k, results, queue_);
  }

  void Fill(void* dst, DType dtype, size_t count, double value) override { FillCuda(dst, dtype, count, value, queue_); }
  void Copy(void* dst, const void* src, size_t bytes) override;
  void Upload(void* dst, const void* src, size_t bytes) override;
  void Download(void* dst, const void* src, size_t bytes) override;

 private:
  CudaBackend(int device, CUstream_st* stream, CUstream_st* copies, CUevent_st* queued, const CudaCard& card,
              bool launches_overlap, std::string description)
      : device_(device),
        queue_(stream, launches_overlap),
        copies_(copies),
        queued_(queued),
        matmul_(card),
        description_(std::move(description)) {}
  absl::Status Bind() const;
  void ComputeAngles();  // of the step's rows
  float* angles() const { return reinterpret_cast<float*>(angles_.data()); }
  float* workspace() const { return reinterpret_cast<float*>(workspace_.data()); }
  void Move(void* dst, const void* src, size_t bytes, bool to_device);

  const int device_;
  CudaQueue queue_;
  std::mutex copies_mutex_;
  CUstream_st* copies_;  // uploads and downloads, of any thread
  CUevent_st* queued_;   // what the queue held when the last of them began
  CudaMatmul matmul_;
  std::string description_;
  int64_t in_max_ = 0;  // of the weights
  Buffer workspace_;    // of prefills, for one operation at a time
  Buffer angles_;       // [rows, head_dim_]
  double theta_ = 0;
  int64_t head_dim_ = 0;
  std::unique_ptr<StepStage> stage_;
  const DeviceStep* step_ = nullptr;
  DecodeGraphs graphs_;
  std::unique_ptr<CudaSampler> sampler_;
};

// The seam where it joins: a build links either backend_cuda_absent.cc, whose error is FAILED_PRECONDITION, or
// backend_cuda_present.cc.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const BackendOptions& options);
int CudaDeviceCount();  // 0 where it is absent

}  // namespace barista
