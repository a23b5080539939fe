// Linear on a device: weights packed once on the host for the kernels of product_*_cuda.h, and the products of a step.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "kernels/cuda/card.h"
#include "kernels/cuda/packed_rows.h"
#include "kernels/cuda/queue.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/quantize.h"
#include "kernels/matmul/weight_form_cuda.h"

namespace barista {

class CudaLinear : public Linear {
 public:
  // Stacks and packs `parts`. Parts of equal element type keep it; mixed ones become f32; unless they are quantised.
  // Errors: INVALID_ARGUMENT naming the shape or type that cannot be; RESOURCE_EXHAUSTED; INTERNAL.
  static absl::StatusOr<std::unique_ptr<CudaLinear>> Create(LinearParts parts, std::optional<Activation> act,
                                                            Quantization quantization);

  WeightForm form() const { return form_; }
  const void* weight() const { return weight_.data(); }
  const uint8_t* multipliers() const { return reinterpret_cast<const uint8_t*>(multipliers_.data()); }
  const float* scale() const { return reinterpret_cast<const float*>(scale_.data()); }  // of all rows; null: none
  const float* bias() const { return reinterpret_cast<const float*>(bias_.data()); }    // of all rows; zeros where none
  std::optional<Activation> act() const { return act_; }
  bool gated() const { return gated_; }
  int units() const { return units_; }
  int64_t stride() const { return stride_; }  // elements of a row, padded
  // Along `in`, into which the sums are cut: a function of the weight's shape alone, on every device.
  int slices() const { return slices_; }

 private:
  WeightForm form_ = WeightForm::kF32;
  std::optional<Activation> act_;
  bool gated_ = false;
  int units_ = 0;
  int slices_ = 1;
  int64_t stride_ = 0;
  Buffer weight_;
  Buffer multipliers_;  // int4
  Buffer scale_;
  Buffer bias_;
};

// Runs products; one thread at a time calls it.
class CudaMatmul {
 public:
  explicit CudaMatmul(const CudaCard& card) : card_(card) {}

  // Room for the packed rows of any product with up to `in` inputs. Call it after loading.
  absl::Status Reserve(int64_t rows_max, int64_t in);

  // As Backend::Multiply; every weight is a CudaLinear, and rows and inputs are within what was reserved.
  void Multiply(absl::Span<const LinearCall> calls, CudaQueue& queue);
  // As Backend::NormMultiply.
  void NormMultiply(const NormArgs& norm, absl::Span<const LinearCall> calls, CudaQueue& queue);
  // Where y, which somebody is about to make, is to be packed for the product that comes next; empty: nowhere, it is
  // packed there.
  PackedRows TargetFor(const Rows& y);

 private:
  void RunTogether(absl::Span<const LinearCall* const> calls, const Rows& ready, CudaQueue& queue);

  CudaCard card_;
  Buffer room_;  // of what a product packs
  Buffer made_;  // of what came packed
  Rows ready_;   // lies there, until the next product
  std::vector<const LinearCall*> together_;
};

}  // namespace barista
