#include "kernels/backend_ref.h"

#include <cstring>
#include <utility>

#include "kernels/matmul/matmul_ref.h"

namespace barista {
namespace {

class RefBackend : public Backend {
 public:
  explicit RefBackend(std::function<bool()> go_on) : go_on_(std::move(go_on)) {}

  std::string_view name() const override { return "ref"; }
  std::string Describe() const override { return "ref: plain loops in double, one thread"; }
  DType activation_dtype() const override { return DType::kF64; }
  DType ring_dtype(DType) const override { return DType::kF64; }

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                     Quantization quantization) override {
    return RefLinear::Create(parts, act, quantization);
  }
  absl::StatusOr<Buffer> Allocate(size_t bytes, absl::string_view what) override { return AllocateHost(bytes, what); }

  void Embed(const EmbedArgs& args) override { EmbedRef<double>(args); }
  void Norm(const NormArgs& args) override { NormRef<double>(args); }
  void Multiply(absl::Span<const LinearCall> calls) override {
    for (const LinearCall& c : calls) {
      for (int64_t r = 0; r < c.x.rows; ++r) {
        if (go_on_ && !go_on_()) return;
        static_cast<const RefLinear*>(c.weight)->Multiply(c.x.Slice(r, 1), c.y.Slice(r, 1), c.accumulate);
      }
    }
  }
  void Conv1d(const Conv1dArgs& args) override { Conv1dRef<double>(args); }
  void Rglru(const RglruArgs& args) override { RglruRef<double>(args); }
  void Rotate(const RotateArgs& args) override { RotateRef<double>(args); }
  void GroupSoftmax(const GroupSoftmaxArgs& args) override { GroupSoftmaxRef<double>(args); }
  void Latte(const LatteArgs& args) override { LatteRef<double>(args); }
  void BidirectionalLatte(const BidirectionalLatteArgs& args) override { BidirectionalLatteRef<double>(args); }
  void WindowAttention(const WindowAttentionArgs& args) override { WindowAttentionRef<double>(args); }
  void Gelu(const GeluArgs& args) override { GeluRef<double>(args); }
  void Glu(const GluArgs& args) override { GluRef<double>(args); }
  void Add(const AddArgs& args) override { AddRef<double>(args); }
  void Softcap(const SoftcapArgs& args) override { SoftcapRef<double>(args); }

  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) override {
    for (size_t r = 0; r < rows.size(); ++r) results[r] = SampleRef(logits.row<double>(r), logits.cols, rows[r]);
  }
  void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                absl::Span<SampleResult> results) override {
    for (size_t r = 0; r < targets.size(); ++r) {
      results[r] = LogprobsRef(logits.row<double>(r), logits.cols, targets[r], k);
    }
  }

  void Fill(void* dst, DType dtype, size_t count, double value) override { FillHost(dst, dtype, count, value); }
  void Copy(void* dst, const void* src, size_t bytes) override { std::memcpy(dst, src, bytes); }
  void Upload(void* dst, const void* src, size_t bytes) override { std::memcpy(dst, src, bytes); }
  void Download(void* dst, const void* src, size_t bytes) override { std::memcpy(dst, src, bytes); }

 private:
  const std::function<bool()> go_on_;
};

}  // namespace

std::unique_ptr<Backend> MakeRefBackend(std::function<bool()> go_on) {
  return std::make_unique<RefBackend>(std::move(go_on));
}

}  // namespace barista
