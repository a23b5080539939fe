// The cpu backend: activations in float, weights packed for the vector unit, work cut into items for a pool of threads.
#pragma once

#include <memory>

#include "absl/functional/function_ref.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/matmul/matmul_cpu.h"

namespace barista {

class CpuBackend : public Backend {
 public:
  // Errors: INVALID_ARGUMENT or FAILED_PRECONDITION naming the option that cannot be; INTERNAL where the self-test of
  // matrix products fails. One of them at a time decides the instruction set of the process's vector kernels.
  static absl::StatusOr<std::unique_ptr<Backend>> Create(const BackendOptions& options);

  std::string_view name() const override { return "cpu"; }
  std::string Describe() const override;
  int threads() const override { return pool_.threads(); }
  DType activation_dtype() const override { return DType::kF32; }
  DType ring_dtype(DType weights) const override { return weights; }

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                     Quantization quantization) override;
  absl::StatusOr<Buffer> Allocate(size_t bytes, absl::string_view what) override { return AllocateHost(bytes, what); }

  void Embed(const EmbedArgs& args) override;
  void Norm(const NormArgs& args) override;
  void Multiply(absl::Span<const LinearCall> calls) override { matmul_.Multiply(calls); }
  void Conv1d(const Conv1dArgs& args) override;
  void Rglru(const RglruArgs& args) override;
  void Rotate(const RotateArgs& args) override;
  void GroupSoftmax(const GroupSoftmaxArgs& args) override;
  void Latte(const LatteArgs& args) override;
  void BidirectionalLatte(const BidirectionalLatteArgs& args) override;
  void WindowAttention(const WindowAttentionArgs& args) override;
  void Gelu(const GeluArgs& args) override;
  void Glu(const GluArgs& args) override;
  void Add(const AddArgs& args) override;
  void Softcap(const SoftcapArgs& args) override;
  void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) override;
  void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                absl::Span<SampleResult> results) override;

  void Fill(void* dst, DType dtype, size_t count, double value) override;
  void Copy(void* dst, const void* src, size_t bytes) override;
  void Upload(void* dst, const void* src, size_t bytes) override;
  void Download(void* dst, const void* src, size_t bytes) override;

 private:
  CpuBackend(CpuIsa isa, int threads) : isa_(isa), pool_(threads), matmul_(pool_) {}

  // A rectangle of a matrix.
  struct Block {
    int64_t row, rows, column, columns;
    Rows Of(const Rows& matrix) const;  // a null matrix stays null
  };
  using BlockWork = absl::FunctionRef<void(const Block&)>;
  // Cuts [rows, columns] into blocks worth handing to a thread: whole rows, or columns in multiples of `unit` where
  // rows are few. `ns` is what one element costs a core, roughly.
  void ForBlocks(int64_t rows, int64_t columns, int64_t unit, double ns, BlockWork work);

  using PairWork = absl::FunctionRef<void(const Segment& segment, int64_t g)>;
  // Every (segment, kv head); `ns` is the cost of one row of one pair.
  void ForPairs(Segments segments, int64_t kv_heads, double ns, PairWork work);

  CpuIsa isa_;
  ThreadPool pool_;
  CpuMatmul matmul_;
  std::vector<float> sampling_scratch_;  // [threads, the widest layer's outputs]
};

}  // namespace barista
