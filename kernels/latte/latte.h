// Latte attention (arXiv 2402.17512), stable by a running maximum. Per kv head g and latent m, with key logit k and
// value v [E]:
//   max' = max(max, k)   r = e^(max-max') (0 if max = -inf)   alpha' = alpha r + e^(k-max')   vtilde' = vtilde r +
//   e^(k-max') v y[h] = sum_m p[h, local+m] vtilde'[g, m] / alpha'[g, m],   g = h / (H/G)
// A slot starts with max = -inf, alpha = 0, vtilde = 0 (InitSlot).
// Recurrent form: the equation, one token. Chunk form, and how cpu rounds the sums: kernels/latte/README.md.
#pragma once

#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct DeviceStep;

struct LatteArgs {
  Segments segments;
  int64_t heads = 0;     // H
  int64_t kv_heads = 0;  // G, divides H
  int64_t head_dim = 0;  // E
  int64_t latents = 0;   // M, per kv head
  int64_t local = 0;     // 1: column 0 of each head of p is the local state (Macchiato) and is not read here
  Rows p;                // [R, H * (local + M)] probabilities, softmaxed over local + M
  Rows k;                // [R, G * M] key logits, NOT yet scaled
  double k_scale = 1;    // multiplies k
  Rows v;                // [R, G * E]
  Rows y;                // [R, H * E], overwritten
  SlotArray max;         // [G, M]
  SlotArray alpha;       // [G, M]
  SlotArray vtilde;      // [G, M, E]
};

template <class T>
void LatteRef(const LatteArgs& args);
// float; kv head g of segment s, on the calling thread. Recurrent or chunked by segment.prefill.
void LatteCpu(const LatteArgs& args, const Segment& segment, int64_t g);
// float, in the queue's order; all pointers of the device. The segments are those of `step`. workspace: of the device,
// LatteWorkspaceBytes(…) for each of the step's chunks, used by prefills alone.
void LatteCuda(const LatteArgs& args, const DeviceStep& step, float* workspace, CudaQueue& queue);
constexpr int64_t LatteWorkspaceBytes(int64_t kv_heads, int64_t latents, int64_t head_dim) {
  return kv_heads * latents * (head_dim + 4) * static_cast<int64_t>(sizeof(float));
}

// The encoder's form: sums run over all tokens of the sequence (one segment is one whole sequence; no state).
struct BidirectionalLatteArgs {
  Segments segments;
  int64_t heads = 0, kv_heads = 0, head_dim = 0, latents = 0;  // as above
  Rows p;                                                      // [R, H * M]
  Rows k;                                                      // [R, G * M], not yet scaled
  double k_scale = 1;
  Rows v;  // [R, G * E]
  Rows y;  // [R, H * E], overwritten
};

template <class T>
void BidirectionalLatteRef(const BidirectionalLatteArgs& args);
void BidirectionalLatteCpu(const BidirectionalLatteArgs& args, const Segment& segment, int64_t g);
// As LatteCuda; every segment is a prefill.
void BidirectionalLatteCuda(const BidirectionalLatteArgs& args, const DeviceStep& step, float* workspace,
                            CudaQueue& queue);

}  // namespace barista
