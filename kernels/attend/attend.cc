#include "kernels/attend/attend.h"

#include "kernels/backend.h"

namespace barista {

void Backend::Attend(const AttendArgs& args) {
  const auto latents = [&](auto part, const auto& run) {
    GroupSoftmax({.scale = args.p_scale, .group = part.p.cols / part.heads, .x = part.p});
    if (args.turn_values) {
      Rotate(args.Turn(part.v, args.turned, part.head_dim, -1));
      part.v = args.turned;
    }
    run(part);
    if (args.turn_values) Rotate(args.Turn(part.y, part.y, part.head_dim, 1));
  };
  if (args.latte.has_value()) latents(*args.latte, [this](const LatteArgs& part) { Latte(part); });
  if (args.bidirectional.has_value()) {
    latents(*args.bidirectional, [this](const BidirectionalLatteArgs& part) { BidirectionalLatte(part); });
  }
  if (!args.window.has_value()) return;
  if (args.turn_queries) {
    for (const Rows& x : {args.window->q, args.window->k}) Rotate(args.Turn(x, x, args.window->head_dim, 1));
  }
  WindowAttention(*args.window);
}

}  // namespace barista
