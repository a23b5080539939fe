// A backend that hands every operation to another one: the base of backends that watch.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace barista::test {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(Backend& inner) : inner_(inner) {}

  std::string_view name() const override { return inner_.name(); }
  std::string Describe() const override { return inner_.Describe(); }
  int threads() const override { return inner_.threads(); }
  bool queues() const override { return inner_.queues(); }
  DType activation_dtype() const override { return inner_.activation_dtype(); }
  DType ring_dtype(DType weights) const override { return inner_.ring_dtype(weights); }

  void BindThread() override { inner_.BindThread(); }
  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                     Quantization quantization) override {
    return inner_.MakeLinear(parts, act, quantization);
  }
  absl::StatusOr<Buffer> Allocate(size_t bytes, absl::string_view what) override {
    return inner_.Allocate(bytes, what);
  }

  absl::Status status() const override { return inner_.status(); }
  std::optional<int64_t> FreeDeviceBytes() const override { return inner_.FreeDeviceBytes(); }
  absl::StatusOr<int64_t> Reserve(const StepSizes& sizes) override { return inner_.Reserve(sizes); }
  bool BeginStep(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const int64_t> positions,
                 absl::Span<const SampleRow> draws) override {
    return inner_.BeginStep(segments, tokens, positions, draws);
  }
  void TakeDraws(absl::Span<SampleResult> results) override { inner_.TakeDraws(results); }
  bool ContinueStep() override { return inner_.ContinueStep(); }
  void Draw(const Rows& logits, int64_t first) override { inner_.Draw(logits, first); }
  bool BeginRecording(Segments segments, absl::Span<const int32_t> tokens,
                      absl::Span<const int64_t> positions) override {
    return inner_.BeginRecording(segments, tokens, positions);
  }
  void EndRecording() override { inner_.EndRecording(); }

  void Embed(const EmbedArgs& args) override { inner_.Embed(args); }
  void Norm(const NormArgs& args) override { inner_.Norm(args); }
  void Multiply(absl::Span<const LinearCall> calls) override { inner_.Multiply(calls); }
  void NormMultiply(const NormArgs& norm, absl::Span<const LinearCall> calls) override {
    inner_.NormMultiply(norm, calls);
  }
  void Conv1d(const Conv1dArgs& args) override { inner_.Conv1d(args); }
  void Rglru(const RglruArgs& args) override { inner_.Rglru(args); }
  void Rotate(const RotateArgs& args) override { inner_.Rotate(args); }
  void GroupSoftmax(const GroupSoftmaxArgs& args) override { inner_.GroupSoftmax(args); }
  void Latte(const LatteArgs& args) override { inner_.Latte(args); }
  void BidirectionalLatte(const BidirectionalLatteArgs& args) override { inner_.BidirectionalLatte(args); }
  void WindowAttention(const WindowAttentionArgs& args) override { inner_.WindowAttention(args); }
  void Attend(const AttendArgs& args) override { inner_.Attend(args); }
  void Gelu(const GeluArgs& args) override { inner_.Gelu(args); }
  void Glu(const GluArgs& args) override { inner_.Glu(args); }
  void Add(const AddArgs& args) override { inner_.Add(args); }
  void Softcap(const SoftcapArgs& args) override { inner_.Softcap(args); }
  void KeepLastRows(const KeepLastRowsArgs& args) override { inner_.KeepLastRows(args); }
  void LoadSlotRows(const LoadSlotRowsArgs& args) override { inner_.LoadSlotRows(args); }
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) override {
    inner_.Sample(logits, rows, results);
  }
  void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                absl::Span<SampleResult> results) override {
    inner_.Logprobs(logits, targets, k, results);
  }

  void Fill(void* dst, DType dtype, size_t count, double value) override { inner_.Fill(dst, dtype, count, value); }
  void Copy(void* dst, const void* src, size_t bytes) override { inner_.Copy(dst, src, bytes); }
  void Upload(void* dst, const void* src, size_t bytes) override { inner_.Upload(dst, src, bytes); }
  void Download(void* dst, const void* src, size_t bytes) override { inner_.Download(dst, src, bytes); }

 protected:
  Backend& inner_;
};

}  // namespace barista::test
