// A layer's attention on a device. A token of a decode is one block's work a kv head, from the products to y, in one
// launch: bytes and operations are those of its parts (latte_decode_cuda.cuh, window_decode_cuda.cuh). A prefill takes
// a kernel a part.
#include <algorithm>

#include "kernels/attend/attend.h"
#include "kernels/cuda/packed_rows.cuh"
#include "kernels/latte/latte_decode_cuda.cuh"
#include "kernels/rotary/rotary_cuda.cuh"
#include "kernels/window_attention/window_decode_cuda.cuh"

namespace barista {
namespace {

// What comes before and after the parts.
struct Turns {
  const float* angles;  // [rows, E]
  float p_scale;
  bool softmax, values, queries;
};

template <bool kLatents, bool kWindow, class R, int W, int S>
__global__ void __launch_bounds__(kDecodeThreads, 2)
    AttendDecodeKernel(DeviceStep step, Turns turns, LatteView latte, LatteState state, WindowView<R> window,
                       PackedRows packed) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const Run run = step.runs[blockIdx.x];
  const int g = blockIdx.y, E = kLatents ? latte.E : window.E;
  constexpr int kLatteWide = W == 1 ? 1 : 4;
  Shared shared;
  float* part = shared.Take<float>(kDecodeThreads * W * S);
  LatteToken token;
  WindowScratch scratch;
  if constexpr (kLatents) token = LatteToken(shared, latte, part);
  if constexpr (kWindow) scratch = WindowScratch(shared, S, E, part);
  for (int32_t i = 0; i < run.rows; ++i) {
    const Segment& segment = step.segments[run.segment + (run.segments > 1 ? i : 0)];
    const int32_t to = segment.slot, from = segment.from >= 0 ? segment.from : to;
    const int64_t row = run.row + i, t = run.position + i;
    const Angles angles = {turns.angles + row * E, E / 2};
    if constexpr (kLatents) {
      const int states = latte.local + latte.M;
      for (int s = WarpIndex(); turns.softmax && s < latte.share; s += Warps()) {
        WarpSoftmax(latte.p.row(row) + (g * latte.share + s) * states, states, turns.p_scale);
      }
      for (int e = threadIdx.x; e < E; e += kDecodeThreads) {
        token.v[e] = turns.values ? angles.Turned(latte.V(row, g), e, -1.0f) : latte.V(row, g)[e];
      }
      __syncthreads();
      const Dither dither(t, g);
      UpdateLatents(latte, state, dither, row, g, from, to, token);
      __syncthreads();
      MixLatents<kLatteWide, S, true>(latte, state, dither, row, g, 0, from, to, token);
      for (int first = S; first < latte.share; first += S) {
        MixLatents<kLatteWide, S, false>(latte, state, dither, row, g, first, to, to, token);
      }
      if (turns.values) {
        angles.TurnHeads(latte.Y(row, g * latte.share), latte.Y(row, g * latte.share), latte.share, 1.0f);
        __syncthreads();
      }
    }
    if constexpr (kWindow) {
      if (turns.queries) {
        float *q = window.q.row(row) + g * window.share * E, *k = window.k.row(row) + g * E;
        angles.TurnHeads(q, q, window.share, 1.0f);
        angles.TurnHeads(k, k, 1, 1.0f);
        __syncthreads();
      }
      FillRing(window, segment, row, t, g);
      for (int first = 0; first < window.share; first += S) {
        AttendWindow<W, S>(window, to, row, t, g, first, scratch);
      }
    }
    if (packed.data != nullptr) {
      const DeviceRows& y = kLatents ? latte.y : window.y;
      const int count = (kLatents ? latte.share : window.share) * E;
      for (int n = threadIdx.x; n < count; n += kDecodeThreads)
        Put(packed, row, g * count + n, y.row(row)[g * count + n]);
    }
  }
}

// What a decode does. Of a part that is not there the heads alone are set.
struct Decodes {
  Turns turns;
  PackedRows packed;
  LatteArgs latte;
  WindowAttentionArgs window;
};

template <class To, class From>
To HeadsOf(const From& a) {
  return {.heads = a.heads, .kv_heads = a.kv_heads, .head_dim = a.head_dim};
}

Decodes DecodesOf(const Turns& turns, const PackedRows& packed, const LatteArgs& latte) {
  return {turns, packed, latte, HeadsOf<WindowAttentionArgs>(latte)};
}
Decodes DecodesOf(const Turns& turns, const PackedRows& packed, const WindowAttentionArgs& window) {
  return {turns, packed, HeadsOf<LatteArgs>(window), window};
}

template <bool kLatents, bool kWindow, class R, int W, int S>
void LaunchDecodes(const Decodes& a, const DeviceStep& step, CudaQueue& queue) {
  const LatteView latte(a.latte, a.latte.local);
  const int64_t shared = Shared::Bytes<float>(kDecodeThreads * W * S) +
                         (kLatents ? LatteToken::SharedBytes(latte) : 0) +
                         (kWindow ? WindowScratch::SharedBytes(S, latte.E) : 0);
  Launch(queue,
         {.blocks_x = step.decode_runs,
          .blocks_y = latte.kv_heads,
          .threads = kDecodeThreads,
          .shared = static_cast<size_t>(shared),
          .overlaps = true,
          .name = "attend_decode"},
         AttendDecodeKernel<kLatents, kWindow, R, W, S>, step, a.turns, latte, LatteState(a.latte),
         WindowView<R>(a.window), a.packed);
}

// S query heads of a group share what is read of the state; W elements of R are 16 bytes of it, or one where heads
// begin at any address.
template <bool kLatents, bool kWindow, class R>
void RunDecodes(const Decodes& a, const DeviceStep& step, CudaQueue& queue) {
  constexpr int kWide = 16 / sizeof(R);
  if (a.latte.head_dim % kWide != 0) return LaunchDecodes<kLatents, kWindow, R, 1, 1>(a, step, queue);
  switch (std::min<int64_t>(a.latte.heads / a.latte.kv_heads, 3)) {
    case 1:
      return LaunchDecodes<kLatents, kWindow, R, kWide, 1>(a, step, queue);
    case 2:
      return LaunchDecodes<kLatents, kWindow, R, kWide, 2>(a, step, queue);
    default:
      return LaunchDecodes<kLatents, kWindow, R, kWide, 4>(a, step, queue);
  }
}

void RunDecodes(const AttendArgs& args, const DeviceStep& step, const float* angles, const PackedRows& packed,
                CudaQueue& queue) {
  if (step.decode_runs == 0) return;
  const Turns turns = {angles, static_cast<float>(args.p_scale), true, args.turn_values, args.turn_queries};
  if (!args.window.has_value())
    return RunDecodes<true, false, float>(DecodesOf(turns, packed, *args.latte), step, queue);
  WithRingType(args.window->keys.dtype, [&]<class R>(R) {
    if (!args.latte.has_value()) return RunDecodes<false, true, R>(DecodesOf(turns, packed, *args.window), step, queue);
    RunDecodes<true, true, R>({turns, packed, *args.latte, *args.window}, step, queue);
  });
}

// The parts of a step's prefills; decodes are done.
struct PrefillParts {
  void GroupSoftmax(const GroupSoftmaxArgs& a) const { GroupSoftmaxCuda(a, queue, rows); }
  void Rotate(const RotateArgs& a) const { RotateCuda(a, angles, queue, rows); }
  void Latte(const LatteArgs& a) const { LatteChunksCuda(a, step, workspace, queue); }
  void BidirectionalLatte(const BidirectionalLatteArgs& a) const { BidirectionalLatteCuda(a, step, workspace, queue); }
  void WindowAttention(const WindowAttentionArgs& a) const { WindowPrefillCuda(a, step, queue); }

  const DeviceStep& step;
  StepRows rows;
  const float* angles;
  float* workspace;
  CudaQueue& queue;
};

}  // namespace

void AttendCuda(const AttendArgs& args, const DeviceStep& step, const float* angles, float* workspace,
                const PackedRows& packed, CudaQueue& queue) {
  RunDecodes(args, step, angles, packed, queue);
  if (step.prefill_runs == 0) return;
  const PrefillParts prefills = {step, PrefillRows(step), angles, workspace, queue};
  AttendInParts(args, prefills);
}

void LatteDecodeCuda(const LatteArgs& args, const DeviceStep& step, CudaQueue& queue) {
  RunDecodes<true, false, float>(DecodesOf({}, {}, args), step, queue);
}

void WindowDecodeCuda(const WindowAttentionArgs& args, const DeviceStep& step, CudaQueue& queue) {
  WithRingType(args.keys.dtype, [&]<class R>(R) { RunDecodes<false, true, R>(DecodesOf({}, {}, args), step, queue); });
}

}  // namespace barista
