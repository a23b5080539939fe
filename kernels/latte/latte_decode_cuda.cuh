// Latte attention of one token in a block: decode, replay and drafts.
//
// Bytes a token and kv head: vtilde, M E floats, read once and written once for all query heads of the group (up to
// four; more read it again); p, k, v and y are a few hundred. Operations: (4 + 2 share) M E. A thread owns 16 bytes of
// a row of vtilde and every groups-th row, so that a warp reads whole lines and all loads are under way before the
// first is used.
#pragma once

#include "kernels/cuda/decode_block.cuh"
#include "kernels/latte/latte_cuda.cuh"

namespace barista {

// Shared memory of one token.
struct LatteToken {
  LatteToken() = default;
  // part: [kDecodeThreads, S, W], the caller's, free again between two parts of a kernel.
  __device__ LatteToken(Shared& shared, const LatteView& a, float* sums)
      : keep(shared.Take<float>(a.M)),
        add(shared.Take<float>(a.M)),
        coefficient(shared.Take<float>(a.share * a.M)),
        v(shared.Take<float>(a.E)),
        part(sums) {}
  static int64_t SharedBytes(const LatteView& a) {
    return 2 * Shared::Bytes<float>(a.M) + Shared::Bytes<float>(a.share * a.M) + Shared::Bytes<float>(a.E);
  }

  float *keep, *add;   // [M]
  float* coefficient;  // [share, M] p / alpha
  float* v;            // [E], the caller's to fill
  float* part;         // [groups, S, E] sums over a group's rows of vtilde
};

// max, alpha and the factors of one token.
__device__ inline void UpdateLatents(const LatteView& a, const LatteState& state, const Dither& dither, int64_t row,
                                     int g, int32_t from, int32_t to, const LatteToken& token) {
  for (int m = threadIdx.x; m < a.M; m += kDecodeThreads) {
    const float key = a.Key(row, g, m), old = state.max.slot(from)[g * a.M + m];
    const float max = RunningMax(old, key), keep = ExpDifference(old, max), add = ExpDifference(key, max);
    const float alpha = dither.Add(state.alpha.slot(from)[g * a.M + m] * keep, add, a.M * a.E + m);
    state.max.slot(to)[g * a.M + m] = max;
    state.alpha.slot(to)[g * a.M + m] = alpha;
    token.keep[m] = keep;
    token.add[m] = add;
    for (int s = 0; s < a.share; ++s) {
      token.coefficient[s * a.M + m] = alpha == 0 ? 0.0f : a.P(row, g * a.share + s, m) / alpha;  // an empty sum
    }
  }
}

// y of query heads [first, first + S) of the group; the state is advanced where kUpdate. W floats of a row a thread.
template <int W, int S, bool kUpdate>
__device__ void MixLatents(const LatteView& a, const LatteState& state, const Dither& dither, int64_t row, int g,
                           int first, int32_t from, int32_t to, const LatteToken& token) {
  const int columns = a.E / W, groups = kDecodeThreads / columns, group = threadIdx.x / columns;
  const int e = threadIdx.x % columns * W, heads = min(S, a.share - first);
  if (group < groups) {
    const int64_t origin = int64_t{g} * a.M * a.E + e;
    const float* source = state.vtilde.slot(from) + origin;
    float* target = state.vtilde.slot(to) + origin;
    float value[W], sums[S][W] = {};
    for (int i = 0; i < W; ++i) value[i] = token.v[e + i];
#pragma unroll 4
    for (int m = group; m < a.M; m += groups) {
      float x[W];
      LoadWide<W>(source + m * a.E, x);
      if (kUpdate) {
        for (int i = 0; i < W; ++i) x[i] = dither.Add(x[i] * token.keep[m], token.add[m] * value[i], m * a.E + e + i);
        StoreWide<W>(target + m * a.E, x);
      }
#pragma unroll
      for (int s = 0; s < S; ++s) {
        const float coefficient = s < heads ? token.coefficient[(first + s) * a.M + m] : 0.0f;
        for (int i = 0; i < W; ++i) sums[s][i] += coefficient * x[i];
      }
    }
#pragma unroll
    for (int s = 0; s < S; ++s) {
      for (int i = 0; i < W; ++i) token.part[(group * S + s) * a.E + e + i] = sums[s][i];
    }
  }
  __syncthreads();
  for (int n = threadIdx.x; n < heads * a.E; n += kDecodeThreads) {
    float y = 0;
    for (int r = 0; r < groups; ++r) y += token.part[r * S * a.E + n];
    a.Y(row, g * a.share + first)[n] = y;
  }
  __syncthreads();
}

}  // namespace barista
