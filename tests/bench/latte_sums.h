// Latte's sums in float as they could have been kept: plain, or with what an addition lost carried to the next one
// (Kahan, Knuth's two-sum). With a carry the sum itself is right to its last place, so only the update reads the carry;
// it costs six operations for one, and a second float or bfloat16 an element of state. The kernels dither instead.
#pragma once

#include <vector>

#include "kernels/latte/latte.h"

namespace barista::bench {

enum class Carry { kNone, kBF16, kF32 };

class LatteSums {
 public:
  LatteSums(Carry carry, int64_t kv_heads, int64_t latents, int64_t head_dim);

  // Adds rows [0, args.k.rows) of key logits and values (float), one after another.
  void Add(const LatteArgs& args);

  const std::vector<float>& max() const { return max_; }        // [G, M]
  const std::vector<float>& alpha() const { return alpha_; }    // [G, M]
  const std::vector<float>& vtilde() const { return vtilde_; }  // [G, M, E]

 private:
  void AddTo(float& sum, float& lost, float term) const;
  void Scale(float& sum, float& lost, float factor) const;
  float AsCarried(float lost) const;

  Carry carry_;
  int64_t kv_heads_, latents_, head_dim_;
  std::vector<float> max_, alpha_, alpha_lost_, vtilde_, vtilde_lost_;
};

}  // namespace barista::bench
