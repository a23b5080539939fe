// What follows a product in tiles: bias, scale, activation, gate, what was there, and y as the next product reads it.
#pragma once

#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/matmul/product_cuda.cuh"

namespace barista {

// One unit of outputs and one tile of rows, spread over a warp as m16n8k16 leaves its sums: this lane has outputs o and
// o + 8 (gated: o, and its gate and up) of two rows.
class FinishedTile {
 public:
  // Reads what the sums meet. Beyond the matrix nothing is read or written.
  __device__ void Begin(const Product& p, int unit, int tile) {
    const Ending& e = p.ending;
    unit_ = unit;
    tile_ = tile;
    const int outputs = e.gated ? kTileOut / 2 : kTileOut;
    o_ = int64_t{unit} * outputs + Lane() / 4;
    row_ = int64_t{tile} * kTileBatch + Lane() % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = e.gated ? o_ + half * e.out : o_ + half * 8;
      const bool there = e.gated ? o_ < e.out : at < e.out;
      bias_[half] = there ? e.bias[at] : 0;
      scale_[half] = there && e.scale != nullptr ? e.scale[at] : 1;
#pragma unroll
      for (int k = 0; k < 2; ++k)
        before_[half][k] = e.accumulate && Has(e, half, k) ? e.y.row(row_ + k)[o_ + 8 * half] : 0;
    }
  }

  // Writes y; all lanes of the warp call it.
  __device__ void Write(const Product& p, const float4& sums) const {
    const Ending& e = p.ending;
    const float sum[2][2] = {{sums.x, sums.y}, {sums.z, sums.w}};
    float y[2][2] = {};  // [half, row]
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const auto value = [&](int i) { return e.Value(sum[i][k], scale_[i], bias_[i]); };
        if (!e.gated) y[half][k] = e.Plain(value(half), before_[half][k]);
        if (e.gated && half == 0) y[0][k] = e.Gated(value(0), value(1));
        if (Has(e, half, k)) e.y.row(row_ + k)[o_ + 8 * half] = y[half][k];
      }
    }
    if (e.packed.data != nullptr) Pack(e, y);
  }

 private:
  // Whether the matrix has this lane's output of that half in its row k.
  __device__ bool Has(const Ending& e, int half, int k) const {
    return row_ + k < e.rows && o_ + 8 * half < e.out && !(e.gated && half == 1);
  }

  // Lanes of neighbouring outputs have the same two rows: each takes one of them for both.
  __device__ void Pack(const Ending& e, const float (&y)[2][2]) const {
    const bool odd = Lane() / 4 % 2 != 0;
    uint32_t pair[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float other = __shfl_xor_sync(kAllLanes, odd ? y[half][0] : y[half][1], 4);
      pair[half] = odd ? PackBf16(other, y[half][1]) : PackBf16(y[half][0], other);
    }
    const PackedRows& to = e.packed;
    const int row = Lane() % 4 * 2 + (odd ? 1 : 0);  // of the tile of rows
    if (int64_t{tile_} * kTileBatch + row >= e.rows || o_ >= e.out) return;
    const int tile_in = e.gated ? unit_ / 2 : unit_;  // a gated unit is half a tile
    uint32_t* words = reinterpret_cast<uint32_t*>(to.data) + (int64_t{tile_} * to.tiles_in + tile_in) * kPackedWords +
                      row * 4 + Lane() / 8;
    if (e.gated) {
      words[unit_ % 2 * 32] = pair[0];
    } else {
      words[0] = pair[0];
      words[32] = pair[1];
    }
  }

  int unit_, tile_;
  int64_t o_, row_;
  float bias_[2], scale_[2], before_[2][2];  // of outputs o and o + 8; gated: of gate and up
};

}  // namespace barista
