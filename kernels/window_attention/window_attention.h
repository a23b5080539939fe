// Softmax attention over the last `window` tokens, the current one included.
//   s = scale q.k;  s = cap tanh(s / cap) where cap > 0;  y[h] (+)= weight[h] * softmax(s) v
// State of a slot, per kv head: a ring of `capacity` keys (already rotated) and values, token t in row t mod capacity;
// a head's ring is contiguous, so that decode reads it as one stream.
// A window smaller than the sequence is sliding attention; full attention has window = capacity = max positions, and
// the engine refuses positions >= capacity before they get here.
#pragma once

#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct DeviceStep;

struct WindowAttentionArgs {
  Segments segments;
  int64_t heads = 0;     // H
  int64_t kv_heads = 0;  // G, divides H
  int64_t head_dim = 0;  // E
  int64_t window = 0;    // w >= 1, <= capacity
  int64_t capacity = 0;  // rows of the rings
  double scale = 1;
  double softcap = 0;  // 0: none
  Rows q;              // [R, H * E]
  Rows k;              // [R, G * E]
  Rows v;              // [R, G * E]
  // Macchiato: the share of the local state, p(0|t), column h * weight_stride of row r; y is added to.
  // weight.data null: the share is 1 and y is overwritten.
  Rows weight;
  int64_t weight_stride = 0;
  Rows y;            // [R, H * E]
  SlotArray keys;    // [G, capacity, E]; element type of the rings: the model's (bf16, f16, f32), f64 on ref
  SlotArray values;  // [G, capacity, E]
};

template <class T>
void WindowAttentionRef(const WindowAttentionArgs& args);
// Activations float. kv head g of segment s, on the calling thread; decode or blocked by segment.prefill.
// Keys and values enter the ring rounded to its type, and are read back rounded, in both forms.
void WindowAttentionCpu(const WindowAttentionArgs& args, const Segment& segment, int64_t g);
// The same in the queue's order; all pointers of the device, head_dim at most kCudaHeadDimMax. The segments are those
// of `step`.
void WindowAttentionCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue);
inline constexpr int64_t kCudaHeadDimMax = 256;

}  // namespace barista
