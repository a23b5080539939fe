// Linear on a CPU: weights packed once, products by the kernels of kernel_cpu.h, work cut into items for the pool.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/matmul/kernel_cpu.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/quantize.h"

namespace barista {

// Panels as kernel_cpu.h describes; outputs and depth are padded with zeros. A panel of a gated weight holds kPanel / 2
// rows of the gate and the same ones of up, so that what a core has just summed can be multiplied at once.
class CpuLinear : public Linear {
 public:
  // Stacks and packs `parts` on the pool's threads. Parts of equal element type keep it; mixed ones become f32, which
  // holds all three exactly; unless they are quantised (then `in` is at most 65536). Errors: INVALID_ARGUMENT naming
  // the shape or type that cannot be; RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<CpuLinear>> Create(LinearParts parts, std::optional<Activation> act,
                                                           Quantization quantization, CpuIsa isa, ThreadPool& pool);

  const MatmulKernel& kernel() const { return *kernel_; }
  int64_t depth() const { return kernel_->Depth(in_); }
  std::optional<Activation> act() const { return act_; }
  bool gated() const { return gated_; }
  int64_t panel_outputs() const { return gated_ ? kPanel / 2 : kPanel; }
  int64_t panels() const { return (out_ + panel_outputs() - 1) / panel_outputs(); }
  int64_t panel_bytes() const { return panel_bytes_; }
  const std::byte* panel(int64_t p) const { return weights_.data() + p * panel_bytes_; }
  const float* bias() const { return reinterpret_cast<const float*>(bias_.data()); }  // [panels * 32], zeros where none
  bool has_bias() const { return has_bias_; }

 private:
  void Pack(LinearParts parts, DType dtype, int64_t panel);

  const MatmulKernel* kernel_ = nullptr;
  Quantization quantization_ = Quantization::kNone;
  std::optional<Activation> act_;
  bool gated_ = false;
  int64_t panel_bytes_ = 0;
  bool has_bias_ = false;
  Buffer weights_;
  Buffer bias_;
};

// Runs products. One thread at a time calls it; `pool` outlives it.
class CpuMatmul {
 public:
  explicit CpuMatmul(ThreadPool& pool) : pool_(pool) {}

  // Grows the room for packed activations to what any Multiply with a weight of `in` inputs needs. Call it at load.
  absl::Status Reserve(int64_t in);

  // As Backend::Multiply; every weight is a CpuLinear with a reserved `in`. All calls run in one parallel loop while
  // their packed activations fit the room, otherwise in several; equal inputs are packed once.
  void Multiply(absl::Span<const LinearCall> calls);

 private:
  struct PackedRows {
    const MatmulKernel* kernel;
    Rows x;
    std::byte* packed;
  };
  struct Job {
    const LinearCall* call;
    const CpuLinear* weight;
    const std::byte* x;  // packed rows [first_row, first_row + rows)
    int64_t first_row;
    int64_t rows;
    int64_t panels_an_item;
    int64_t rows_an_item;
    int64_t panel_items;  // items along the outputs
    int64_t items;
  };

  void RunRows(absl::Span<const LinearCall> calls, int64_t first_row);
  const std::byte* FindPacked(const MatmulKernel& kernel, const Rows& x) const;
  void RunJobs();
  void PackAll();
  static double Cost(const Job& job);
  void Cut(Job& job) const;
  static void RunItem(const Job& job, int64_t item);
  static void RunGated(const Job& job, PanelRun run, int64_t first_output, const Rows& y);

  ThreadPool& pool_;
  Buffer room_;
  size_t used_ = 0;
  std::vector<PackedRows> packed_;
  std::vector<Job> jobs_;
};

}  // namespace barista
