// Latte's sums in float with what each addition lost carried beside them (Knuth's two-sum): the alternative that plain
// sums are measured against. Twice the state, six operations for one.
#pragma once

#include <vector>

#include "kernels/latte/latte.h"

namespace barista::bench {

class CompensatedLatte {
 public:
  CompensatedLatte(int64_t kv_heads, int64_t latents, int64_t head_dim);

  // Adds rows [0, args.k.rows) of key logits and values (float), one after another.
  void Add(const LatteArgs& args);

  // Sum and carry together; i = g * latents + m.
  double max(int64_t i) const { return max_[i]; }
  double alpha(int64_t i) const { return double{alpha_[i]} + double{alpha_lost_[i]}; }
  double vtilde(int64_t i, int64_t e) const {
    return double{vtilde_[i * head_dim_ + e]} + double{vtilde_lost_[i * head_dim_ + e]};
  }

 private:
  int64_t kv_heads_, latents_, head_dim_;
  std::vector<float> max_, alpha_, alpha_lost_, vtilde_, vtilde_lost_;
};

}  // namespace barista::bench
