// Tiles of a weight as they lie in memory and as the tensor cores take them.
#pragma once

#include <bit>

#include "kernels/matmul/mma_cuda.cuh"
#include "kernels/matmul/product_cuda.cuh"
#include "kernels/matmul/weight_form_cuda.h"

namespace barista {

// Integers in [-128, 127] as bf16, exactly. byte: of the integer plus 128, in the low bits; what lies above is ignored.
__device__ inline float BytesValue(uint32_t byte) {
  return std::bit_cast<float>(0x4b000000u | (byte & 0xffu)) - (8388608.0f + 128.0f);
}
__device__ inline uint32_t PackExact(float low, float high) {
  return std::bit_cast<uint32_t>(low) >> 16 | (std::bit_cast<uint32_t>(high) & 0xffff0000u);
}

// This lane's share of one tile of the weight, as it lies in memory.
template <WeightForm kForm>
struct RawTile;
template <>
struct RawTile<WeightForm::kBF16> {
  using Type = uint4;
};
template <>
struct RawTile<WeightForm::kInt8> {
  using Type = uint2;
};
template <>
struct RawTile<WeightForm::kInt4> {
  using Type = uint32_t;
};
template <WeightForm kForm>
using Raw = typename RawTile<kForm>::Type;

// The same as the instruction wants it.
template <WeightForm kForm>
__device__ uint4 Expand(const Product& p, int unit, int tile_in, const Raw<kForm>& raw) {
  if constexpr (kForm == WeightForm::kBF16) {
    return raw;
  } else if constexpr (kForm == WeightForm::kInt8) {
    const auto pair = [](uint32_t two) { return PackExact(BytesValue(two), BytesValue(two >> 8)); };
    return {pair(raw.x), pair(raw.x >> 16), pair(raw.y), pair(raw.y >> 16)};
  } else {
    const uint8_t* m = p.multipliers + (int64_t{unit} * ((p.tiles_in + 1) / 2) + tile_in / 2) * kTileOut + Lane() / 4;
    const float m0 = m[0], m1 = m[8];
    const auto value = [raw](int i) { return BytesValue((raw >> (4 * i) & 15u) + 120u); };
    return {PackExact(value(0) * m0, value(1) * m0), PackExact(value(2) * m1, value(3) * m1),
            PackExact(value(4) * m0, value(5) * m0), PackExact(value(6) * m1, value(7) * m1)};
  }
}

// The first tile of a slice of `in`; of the slice behind the last, their number.
__device__ inline int SliceBegin(const Product& p, int slice) { return min(p.tiles_in * slice / p.slices, p.tiles_in); }

__device__ inline float4 Added(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

}  // namespace barista
