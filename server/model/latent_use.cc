#include "server/model/latent_use.h"

#include <cmath>

namespace barista {

LatentUse MeasureLatentUse(const Rows& p, int64_t states, bool local) {
  const int64_t heads = p.cols / states;
  const int64_t row_bytes = p.stride * static_cast<int64_t>(SizeOf(p.dtype));
  LatentUse use;
  for (int64_t r = 0; r < p.rows; ++r) {
    const std::byte* row = static_cast<const std::byte*>(p.data) + r * row_bytes;
    for (int64_t h = 0; h < heads; ++h) {
      double entropy = 0;
      for (int64_t l = 0; l < states; ++l) {
        const double x = LoadAsDouble(row, p.dtype, h * states + l);
        if (x != 0) entropy -= x * std::log(x);  // NaN stays NaN
      }
      use.entropy += entropy;
      use.effective_latents += std::exp(entropy);
      if (local) use.local_mass += LoadAsDouble(row, p.dtype, h * states);
    }
  }
  const double count = static_cast<double>(p.rows * heads);
  return {use.entropy / count, use.effective_latents / count, use.local_mass / count};
}

}  // namespace barista
