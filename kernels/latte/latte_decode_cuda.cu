// Latte attention, token by token: decode, replay and drafts.
//
// Bytes a token and kv head: vtilde, M E floats, read once and written once for all query heads of the group (up to
// four; more read it again); p, k, v and y are a few hundred. Operations: (4 + 2 share) M E. One block a (run, kv
// head): a thread owns 16 bytes of a row of vtilde and every groups-th row, so that a warp reads whole lines and all
// loads are under way before the first is used.
#include <algorithm>

#include "kernels/latte/latte_cuda.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;

template <int W>
__device__ void LoadColumns(const float* from, float (&x)[W]) {
  if constexpr (W == 4) {
    const float4 part = *reinterpret_cast<const float4*>(from);
    x[0] = part.x, x[1] = part.y, x[2] = part.z, x[3] = part.w;
  } else {
    x[0] = *from;
  }
}
template <int W>
__device__ void StoreColumns(float* to, const float (&x)[W]) {
  if constexpr (W == 4) {
    *reinterpret_cast<float4*>(to) = {x[0], x[1], x[2], x[3]};
  } else {
    *to = x[0];
  }
}

struct Token {         // shared memory of one
  float *keep, *add;   // [M]
  float* coefficient;  // [share, M] p / alpha
  float* v;            // [E]
  float* part;         // [groups, S, E] sums over a group's rows of vtilde
};

// max, alpha and the factors of one token.
__device__ void UpdateLatents(const LatteView& a, const LatteState& state, const Dither& dither, int64_t row, int g,
                              int32_t from, int32_t to, const Token& token) {
  for (int m = threadIdx.x; m < a.M; m += kThreads) {
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
  for (int e = threadIdx.x; e < a.E; e += kThreads) token.v[e] = a.V(row, g)[e];
}

// y of query heads [first, first + S) of the group; the state is advanced where kUpdate. W floats of a row a thread.
template <int W, int S, bool kUpdate>
__device__ void Mix(const LatteView& a, const LatteState& state, const Dither& dither, int64_t row, int g, int first,
                    int32_t from, int32_t to, const Token& token) {
  const int columns = a.E / W, groups = kThreads / columns, group = threadIdx.x / columns;
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
      LoadColumns<W>(source + m * a.E, x);
      if (kUpdate) {
        for (int i = 0; i < W; ++i) x[i] = dither.Add(x[i] * token.keep[m], token.add[m] * value[i], m * a.E + e + i);
        StoreColumns<W>(target + m * a.E, x);
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
  for (int n = threadIdx.x; n < heads * a.E; n += kThreads) {
    float y = 0;
    for (int r = 0; r < groups; ++r) y += token.part[r * S * a.E + n];
    a.Y(row, g * a.share + first)[n] = y;
  }
  __syncthreads();
}

template <int W, int S>
__global__ void __launch_bounds__(kThreads, 2) DecodeKernel(DeviceStep step, LatteView a, LatteState state) {
  const Run run = step.runs[blockIdx.x];
  const int g = blockIdx.y;
  Shared shared;
  Token token;
  token.keep = shared.Take<float>(a.M);
  token.add = shared.Take<float>(a.M);
  token.coefficient = shared.Take<float>(a.share * a.M);
  token.v = shared.Take<float>(a.E);
  token.part = shared.Take<float>(kThreads * W * S);
  for (int32_t i = 0; i < run.rows; ++i) {
    const Segment& segment = step.segments[run.segment + (run.segments > 1 ? i : 0)];
    const int32_t to = segment.slot, from = segment.from >= 0 ? segment.from : to;
    const int64_t row = run.row + i;
    const Dither dither(run.position + i, g);
    UpdateLatents(a, state, dither, row, g, from, to, token);
    __syncthreads();
    Mix<W, S, true>(a, state, dither, row, g, 0, from, to, token);
    for (int first = S; first < a.share; first += S) Mix<W, S, false>(a, state, dither, row, g, first, to, to, token);
  }
}

template <int W, int S>
void Decode(const LatteArgs& args, const DeviceStep& step, CudaQueue& queue) {
  const LatteView a(args, args.local);
  const int64_t shared = 2 * Shared::Bytes<float>(a.M) + Shared::Bytes<float>(a.share * a.M) +
                         Shared::Bytes<float>(a.E) + Shared::Bytes<float>(kThreads * W * S);
  Launch(queue,
         {.blocks_x = step.decode_runs,
          .blocks_y = a.kv_heads,
          .threads = kThreads,
          .shared = static_cast<size_t>(shared),
          .name = "latte_decode"},
         DecodeKernel<W, S>, step, a, LatteState(args));
}

template <int W>
void DecodeHeads(const LatteArgs& args, const DeviceStep& step, CudaQueue& queue) {
  switch (std::min<int64_t>(args.heads / args.kv_heads, 3)) {
    case 1:
      return Decode<W, 1>(args, step, queue);
    case 2:
      return Decode<W, 2>(args, step, queue);
    default:
      return Decode<W, 4>(args, step, queue);
  }
}

}  // namespace

void LatteDecodeCuda(const LatteArgs& args, const DeviceStep& step, CudaQueue& queue) {
  if (args.head_dim % 4 == 0)
    return DecodeHeads<4>(args, step, queue);  // rows of vtilde begin at multiples of 16 bytes
  DecodeHeads<1>(args, step, queue);
}

}  // namespace barista
