// bf16 by AMX tiles: 16 rows x 32 k times 32 k x 16 outputs a tile. The sum of one output takes 32 products at a time:
// the tile instruction adds the 16 even and the 16 odd ones in order, then both to the sum. All row counts use it, so
// decode and prefill agree; a tile of fewer rows computes each of them the same way.
#include <immintrin.h>

#include "kernels/matmul/amx_tiles.h"
#include "kernels/matmul/kernel_cpu.h"
#include "kernels/matmul/pack_bf16_avx512.h"

#define BARISTA_AMX __attribute__((target("amx-tile,amx-bf16,avx512f")))

namespace barista {
namespace {

constexpr int64_t kTileRows = 16;
constexpr int64_t kTileBytes = 1024;
constexpr int64_t kStepBytes = 2 * kTileBytes;  // of weights for 32 k: two tiles of 16 outputs

// Where the weights that will be needed next lie, and how many lines of them to ask for with each step: into the first
// cache where they are wanted in a moment, into the second where other rows come first.
struct Prefetch {
  const std::byte* next;
  int64_t lines;
  bool soon;

  void Step() {
    if (soon) {
      for (int64_t i = 0; i < lines; ++i, next += 64) __builtin_prefetch(next, 0, 3);
    } else {
      for (int64_t i = 0; i < lines; ++i, next += 64) __builtin_prefetch(next, 0, 2);
    }
  }
};

struct Block {
  const std::byte* weights;
  const std::byte* x0;  // tiles of the first 16 rows, and
  const std::byte* x1;  // of the second
  int64_t rows0;
  int64_t rows1;
  int64_t steps;
  const float* start;
  float* y;
  int64_t y_stride;
};

BARISTA_AMX void RunPair(const Block& b, Prefetch& prefetch) {
  float* y1 = b.y + kTileRows * b.y_stride;
  const int64_t y_bytes = b.y_stride * 4;
  if (b.start != nullptr) {
    _tile_loadd(0, b.start, 0);
    _tile_loadd(1, b.start + 16, 0);
    _tile_loadd(2, b.start, 0);
    _tile_loadd(3, b.start + 16, 0);
  } else {
    _tile_loadd(0, b.y, y_bytes);
    _tile_loadd(1, b.y + 16, y_bytes);
    _tile_loadd(2, y1, y_bytes);
    _tile_loadd(3, y1 + 16, y_bytes);
  }
  const std::byte *w = b.weights, *x0 = b.x0, *x1 = b.x1;
  for (int64_t i = 0; i < b.steps; ++i) {
    _tile_loadd(6, w, 64);
    _tile_loadd(4, x0, 64);
    _tile_loadd(7, w + kTileBytes, 64);
    _tile_loadd(5, x1, 64);
    prefetch.Step();
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    w += kStepBytes;
    x0 += b.rows0 * kChunkBytes;
    x1 += b.rows1 * kChunkBytes;
  }
  _tile_stored(0, b.y, y_bytes);
  _tile_stored(1, b.y + 16, y_bytes);
  _tile_stored(2, y1, y_bytes);
  _tile_stored(3, y1 + 16, y_bytes);
}

BARISTA_AMX void RunSingle(const Block& b, Prefetch& prefetch) {
  const int64_t y_bytes = b.y_stride * 4;
  _tile_loadd(0, b.start != nullptr ? b.start : b.y, b.start != nullptr ? 0 : y_bytes);
  _tile_loadd(1, (b.start != nullptr ? b.start : b.y) + 16, b.start != nullptr ? 0 : y_bytes);
  const std::byte *w = b.weights, *x0 = b.x0;
  for (int64_t i = 0; i < b.steps; ++i) {
    prefetch.Step();
    _tile_loadd(4, x0, 64);
    _tile_loadd(6, w, 64);
    _tile_loadd(7, w + kTileBytes, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    w += kStepBytes;
    x0 += b.rows0 * kChunkBytes;
  }
  _tile_stored(0, b.y, y_bytes);
  _tile_stored(1, b.y + 16, y_bytes);
}

BARISTA_AMX void Run(const PanelRun& run) {
  constexpr int64_t kPairRows = 2 * kTileRows;
  constexpr int64_t kStepDepth = 32;
  constexpr int64_t kStreamAhead = 4096;  // bytes; measured: as fast as plain reads
  const int64_t full = run.rows / kPairRows, rest = run.rows % kPairRows;
  const int64_t passes = full + (rest > 0 ? 1 : 0);
  const int64_t panel_bytes = run.depth * kPanel * 2;
  const int64_t first_step = run.begin / kStepDepth, steps = (run.end - run.begin) / kStepDepth;
  const int64_t rest0 = std::min(rest, kTileRows), rest1 = rest - rest0;
  if (full > 0) LoadTileConfig(kTileRows, kTileRows);
  for (int64_t p = 0; p < run.panels; ++p) {
    const std::byte* weights = run.weights + p * panel_bytes + first_step * kStepBytes;
    // One pass over the panel: stream ahead. Several: it comes from the cache, and the next one is fetched meanwhile.
    const bool stream = passes == 1;
    Prefetch prefetch = {weights + (stream ? kStreamAhead : panel_bytes), (kPanel + passes - 1) / passes, stream};
    Block block = {weights, nullptr, nullptr, kTileRows, kTileRows, steps, nullptr, nullptr, run.y_stride};
    if (run.start != nullptr) block.start = run.start + p * kPanel;
    if (full > 0 && rest > 0 && p > 0) LoadTileConfig(kTileRows, kTileRows);
    for (int64_t i = 0; i < full; ++i) {
      const std::byte* x = run.x + i * kPairRows * run.depth * 2;
      block.x0 = x + first_step * kTileRows * kChunkBytes;
      block.x1 = x + (run.depth / kStepDepth + first_step) * kTileRows * kChunkBytes;
      block.y = run.y + i * kPairRows * run.y_stride + p * kPanel;
      RunPair(block, prefetch);
    }
    if (rest == 0) continue;
    if (full > 0 || p == 0) LoadTileConfig(rest0, std::max<int64_t>(rest1, 1));
    const std::byte* x = run.x + full * kPairRows * run.depth * 2;
    block.rows0 = rest0;
    block.rows1 = rest1;
    block.x0 = x + first_step * rest0 * kChunkBytes;
    block.x1 = x + run.depth / kStepDepth * rest0 * kChunkBytes + first_step * rest1 * kChunkBytes;
    block.y = run.y + full * kPairRows * run.y_stride + p * kPanel;
    if (rest1 > 0) {
      RunPair(block, prefetch);
    } else {
      RunSingle(block, prefetch);
    }
  }
  _tile_release();
}

}  // namespace

const MatmulKernel& AmxKernel() {
  static const MatmulKernel kernel = {WeightLayout::kPairs, 2 * kTileRows, 2, 2000, PackBf16Rows<kTileRows>, Run};
  return kernel;
}

}  // namespace barista
