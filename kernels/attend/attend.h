// A layer's attention, from the products of its input to y, which the output matrix reads. In this order, each where it
// is asked for:
//   p = softmax(p_scale p) over each head's states;  values turned by -t (VAPOR);  Latte;  its y turned by +t;
//   window queries and keys turned by +t (RoPE);  attention over the window, added under p(0|t) in a Macchiato layer.
// Turning is kernels/rotary/rotary.h's. That is the equation, and what Backend does unless it knows something faster.
#pragma once

#include <optional>

#include "absl/types/span.h"
#include "kernels/activation/activation.h"
#include "kernels/cuda/packed_rows.h"
#include "kernels/latte/latte.h"
#include "kernels/rotary/rotary.h"
#include "kernels/view.h"
#include "kernels/window_attention/window_attention.h"

namespace barista {

class CudaQueue;
struct DeviceStep;

struct AttendArgs {
  absl::Span<const int64_t> positions;  // [R]
  double theta = 10000;                 // of all turns
  double p_scale = 1;
  bool turn_values = false;   // with latents
  bool turn_queries = false;  // with a window
  Rows turned;                // [R, G * E], where turn_values: the turned values go there
  // At most one of the first two. Their v are the values as they are; their p become the softmax.
  std::optional<LatteArgs> latte;
  std::optional<BidirectionalLatteArgs> bidirectional;
  std::optional<WindowAttentionArgs> window;  // its q and k are turned in place
  bool for_products = false;                  // y is read by the next product and by nothing else

  // Rows of v, y, or of queries and keys, turned by sign * t.
  RotateArgs Turn(const Rows& x, const Rows& y, int64_t head_dim, int sign) const {
    return {.positions = positions, .head_dim = head_dim, .theta = theta, .sign = sign, .x = x, .y = y};
  }
};

// The parts in their order, by the operations of `ops`, named as Backend's.
template <class Ops>
void AttendInParts(const AttendArgs& args, Ops& ops) {
  const auto latents = [&](auto part, const auto& run) {
    ops.GroupSoftmax({.scale = args.p_scale, .group = part.p.cols / part.heads, .x = part.p});
    if (args.turn_values) {
      ops.Rotate(args.Turn(part.v, args.turned, part.head_dim, -1));
      part.v = args.turned;
    }
    run(part);
    if (args.turn_values) ops.Rotate(args.Turn(part.y, part.y, part.head_dim, 1));
  };
  if (args.latte.has_value()) latents(*args.latte, [&](const LatteArgs& part) { ops.Latte(part); });
  if (args.bidirectional.has_value()) {
    latents(*args.bidirectional, [&](const BidirectionalLatteArgs& part) { ops.BidirectionalLatte(part); });
  }
  if (!args.window.has_value()) return;
  if (args.turn_queries) {
    for (const Rows& x : {args.window->q, args.window->k}) ops.Rotate(args.Turn(x, x, args.window->head_dim, 1));
  }
  ops.WindowAttention(*args.window);
}

// float, in the queue's order; all pointers of the device, the positions' too. The segments are those of `step`.
// angles: of the step's rows (AnglesCuda), where anything turns; workspace: as LatteCuda's; packed: y once more, of a
// step of decodes alone.
void AttendCuda(const AttendArgs& args, const DeviceStep& step, const float* angles, float* workspace,
                const PackedRows& packed, CudaQueue& queue);

}  // namespace barista
