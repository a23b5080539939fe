// How a weight lies on a device, and what multiplies it.
#pragma once

#include <cstdint>

namespace barista {

// f32, f16: rows, by product_float_cuda.h. Others: tiles for the tensor cores, by product_tiles_cuda.h; the integers of
// quantised weights (quantize.h) become bf16 in registers, which holds all of them exactly.
enum class WeightForm : uint8_t { kF32, kF16, kBF16, kInt8, kInt4 };
inline constexpr WeightForm kAllWeightForms[] = {WeightForm::kF32, WeightForm::kF16, WeightForm::kBF16,
                                                 WeightForm::kInt8, WeightForm::kInt4};

constexpr bool IsTiled(WeightForm form) { return form >= WeightForm::kBF16; }

// Slices of `in` into which the sums of a weight in tiles are cut, at most.
inline constexpr int kSlicesMax = 4;

}  // namespace barista
