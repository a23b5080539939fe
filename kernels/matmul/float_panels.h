// The walk over panels and row blocks that the kernels of float products share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/matmul/kernel_cpu.h"

namespace barista {

// y[r, 0..32) (rows `y_stride` apart) (+)= the products of one panel with as many rows as the function is for, over
// `chunks` chunks of 64 bytes of packed activations. `start` as in PanelRun.
template <class W>
using FloatBlock = void (*)(const W* weights, const float* x, int64_t chunks, const float* start, float* y,
                            int64_t y_stride);

// blocks[n]: for n rows.
template <class W, int64_t kRowBlock>
void RunFloatPanels(const PanelRun& run, const FloatBlock<W> (&blocks)[kRowBlock + 1]) {
  const W* weights = reinterpret_cast<const W*>(run.weights);
  const float* packed = reinterpret_cast<const float*>(run.x);
  const int64_t chunks = (run.end - run.begin) * static_cast<int64_t>(sizeof(float)) / kChunkBytes;
  for (int64_t p = 0; p < run.panels; ++p) {
    const W* w = weights + (p * run.depth + run.begin) * kPanel;
    const float* start = run.start != nullptr ? run.start + p * kPanel : nullptr;
    for (int64_t r = 0; r < run.rows; r += kRowBlock) {
      const int64_t rows = std::min(kRowBlock, run.rows - r);
      const float* x = packed + r * run.depth + run.begin * rows;
      blocks[rows](w, x, chunks, start, run.y + r * run.y_stride + p * kPanel, run.y_stride);
    }
  }
}

}  // namespace barista
