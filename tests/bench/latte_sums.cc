#include "tests/bench/latte_sums.h"

#include <cmath>
#include <limits>

namespace barista::bench {

float LatteSums::AsCarried(float lost) const {
  switch (carry_) {
    case Carry::kNone:
      return 0;
    case Carry::kBF16:
      return ToFloat(ToBFloat16(lost));
    case Carry::kF32:
      return lost;
  }
  return 0;
}

void LatteSums::AddTo(float& sum, float& lost, float term) const {
  const float all = term + lost;
  const float next = sum + all;
  const float kept = next - sum;
  lost = AsCarried((sum - (next - kept)) + (all - kept));
  sum = next;
}

void LatteSums::Scale(float& sum, float& lost, float factor) const {
  const float next = sum * factor;
  lost = AsCarried(lost * factor + std::fma(sum, factor, -next));
  sum = next;
}

LatteSums::LatteSums(Carry carry, int64_t kv_heads, int64_t latents, int64_t head_dim)
    : carry_(carry),
      kv_heads_(kv_heads),
      latents_(latents),
      head_dim_(head_dim),
      max_(kv_heads * latents, -std::numeric_limits<float>::infinity()),
      alpha_(kv_heads * latents, 0.0f),
      alpha_lost_(alpha_),
      vtilde_(kv_heads * latents * head_dim, 0.0f),
      vtilde_lost_(vtilde_) {}

void LatteSums::Add(const LatteArgs& args) {
  for (int64_t row = 0; row < args.k.rows; ++row) {
    for (int64_t i = 0; i < kv_heads_ * latents_; ++i) {
      const float key = args.k.row<float>(row)[i] * static_cast<float>(args.k_scale);
      const float* v = args.v.row<float>(row) + i / latents_ * head_dim_;
      float *sum = &vtilde_[i * head_dim_], *lost = &vtilde_lost_[i * head_dim_];
      if (key > max_[i]) {
        const float keep = std::exp(max_[i] - key);  // 0 for the first token
        max_[i] = key;
        Scale(alpha_[i], alpha_lost_[i], keep);
        for (int64_t e = 0; e < head_dim_; ++e) Scale(sum[e], lost[e], keep);
      }
      const float weight = std::exp(key - max_[i]);
      AddTo(alpha_[i], alpha_lost_[i], weight);
      for (int64_t e = 0; e < head_dim_; ++e) AddTo(sum[e], lost[e], weight * v[e]);
    }
  }
}

}  // namespace barista::bench
