#include "kernels/slot_rows/slot_rows.h"

#include <algorithm>
#include <cstring>

namespace barista {

void KeepLastRowsHost(const KeepLastRowsArgs& a) {
  const int64_t bytes = a.x.cols * static_cast<int64_t>(SizeOf(a.x.dtype));
  for (const Segment& s : a.segments) {
    std::memcpy(a.to.base + s.slot * a.to.slot_bytes, a.x.Slice(s.row + s.rows - 1, 1).data, bytes);
  }
}

void LoadSlotRowsHost(const LoadSlotRowsArgs& a) {
  const int64_t bytes = a.x.cols * static_cast<int64_t>(SizeOf(a.x.dtype));
  for (size_t i = 0; i < a.slots.size(); ++i) {
    std::memcpy(a.x.Slice(static_cast<int64_t>(i), 1).data, a.from.base + a.slots[i] * a.from.slot_bytes, bytes);
  }
}

void FillHost(void* to, DType dtype, size_t count, double value) {
  const float x = static_cast<float>(value);
  switch (dtype) {
    case DType::kF64:
      std::fill_n(static_cast<double*>(to), count, value);
      break;
    case DType::kF32:
      std::fill_n(static_cast<float*>(to), count, x);
      break;
    case DType::kBF16:
      std::fill_n(static_cast<BFloat16*>(to), count, ToBFloat16(x));
      break;
    case DType::kF16:
      std::fill_n(static_cast<Float16*>(to), count, ToFloat16(x));
      break;
  }
}

}  // namespace barista
