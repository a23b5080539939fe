// Input of the first layer: x[r] = scale * E[token[r]] (+ the sinusoidal position of the row).
//   pe[t, 2i] = sin(t 10000^(-2i/D)), pe[t, 2i+1] = cos(same); angles are reduced in double, so positions of millions
//   stay exact; the table continues past the trained length.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/view.h"

namespace barista {

class CudaQueue;

struct EmbedArgs {
  absl::Span<const int32_t> tokens;     // [R], each in [0, vocab)
  absl::Span<const int64_t> positions;  // [R], from 0
  const void* table = nullptr;          // [vocab, D] row-major in table_dtype, possibly unaligned
  DType table_dtype = DType::kF32;
  double scale = 1;
  bool sinusoidal = false;
  Rows x;  // [R, D], written
};

template <class T>
void EmbedRef(const EmbedArgs& args);
void EmbedCpu(const EmbedArgs& args);  // float; all rows on the calling thread
// float, in the queue's order; all pointers of the device, those of the spans too, and the table aligned.
void EmbedCuda(const EmbedArgs& args, CudaQueue& queue);

}  // namespace barista
