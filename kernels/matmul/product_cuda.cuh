// Products on a device, as their kernels take them.
//
// Bits: an output's sum over `in` runs in one order that the weight's shape decides: tiles in `slices` of whole ones, a
// tile after another, the slices' sums added in order; f32 and f16 a lane of a warp every 32nd piece of 16 bytes, the
// lanes' sums added by halves. How many rows there are, and the card, choose among kernels that cut the same sums
// differently, and so cannot change a bit. cuBLAS chooses its sums by the number of rows, so it is not used.
#pragma once

#include "kernels/activation/activation_cuda.cuh"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_rows.cuh"

namespace barista {

inline constexpr int kTileOut = 16;                            // rows of a tile of a weight: one m16n8k16 operand
inline constexpr int kTileIn = 16;                             // its columns
inline constexpr int kTileBatch = 8;                           // rows of x that one instruction multiplies
inline constexpr int kPackedWords = kTileBatch * kTileIn / 2;  // of a tile of packed rows, two elements each

// How y is written: (+)= scale * sum + bias, or act of it, times up where gated.
struct Ending {
  // Rounded alike in every kernel. by: its output's scale, where there are any; plus: its bias.
  __device__ float Value(float sum, float by, float plus) const {
    return scale != nullptr ? fmaf(sum, by, plus) : sum + plus;
  }
  // before: what is there.
  __device__ float Plain(float value, float before) const {
    return activated ? Apply(act, value) : (accumulate ? before + value : value);
  }
  __device__ float Gated(float gate, float up) const { return Apply(act, gate) * up; }

  DeviceRows y;
  PackedRows packed;             // of y, for the product that reads it next
  const float* bias = nullptr;   // [out], twice that where gated
  const float* scale = nullptr;  // of quantised weights, as many
  int64_t rows = 0, out = 0;
  Activation act = Activation::kSilu;
  bool activated = false, gated = false, accumulate = false;
};

struct Product {
  // Tiles: [units, tiles_in, 32 lanes] of 8 elements (16 bytes, int8 8, int4 4); else [units, 4, stride] elements.
  const void* weight = nullptr;
  const uint8_t* multipliers = nullptr;  // int4: [units, ceil(tiles_in / 2), 16 rows]
  DeviceRows x;                          // [rows, in]
  const uint32_t* packed = nullptr;      // tiles, many rows: PackedRows, [tiles of x, packed_tiles_in, kPackedWords]
  int packed_tiles_in = 0;
  int first_column = 0;  // of x in the rows that are normed first
  int64_t in = 0;
  int64_t stride = 0;  // f32, f16: elements of a padded row of the weight
  int tiles_in = 0;    // tiles
  int slices = 0;      // tiles
  int units = 0;       // tiles along the outputs; else groups of four rows
  int first_block = 0;
  Ending ending;
};

// The products of one launch: each has the blocks from its first_block up to the next one's.
inline constexpr int kProductsMax = 20;
struct Products {
  __device__ const Product& Of(int block) const {
    int i = count - 1;
    while (of[i].first_block > block) --i;
    return of[i];
  }
  // Gives each product as many blocks as it has `units` units; their number.
  int64_t Deal(int units) {
    int blocks = 0;
    for (int i = 0; i < count; ++i) {
      of[i].first_block = blocks;
      blocks += CeilDiv(of[i].units, units);
    }
    return blocks;
  }
  template <class... Parameters>
  void Run(CudaQueue& queue, LaunchShape shape, void (*kernel)(Products, Parameters...),
           Parameters... parameters) const {
    Launch(queue, shape, kernel, *this, parameters...);
  }

  int count = 0;
  Product of[kProductsMax];
};

}  // namespace barista
