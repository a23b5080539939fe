// Non-owning views that kernels read and write: rows of activations, and one component of the state of every slot.
// Both carry their element type; kernels name the type they expect and the access checks it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/base/internal/raw_logging.h"
#include "absl/types/span.h"
#include "kernels/dtype.h"

namespace barista {

// A row-major matrix [rows, cols] whose rows lie `stride` elements apart (stride >= cols). Heads are column groups.
struct Rows {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  template <class T>
  T* row(int64_t i) const {
    ABSL_RAW_CHECK(dtype == DTypeOf<T>::value, "view read with another element type than its own");
    return static_cast<T*>(data) + i * stride;
  }

  // The same rows, columns [begin, begin + count).
  Rows Columns(int64_t begin, int64_t count) const {
    return {static_cast<std::byte*>(data) + begin * static_cast<int64_t>(SizeOf(dtype)), dtype, rows, count, stride};
  }

  // Rows [begin, begin + count).
  Rows Slice(int64_t begin, int64_t count) const {
    return {static_cast<std::byte*>(data) + begin * stride * static_cast<int64_t>(SizeOf(dtype)), dtype, count, cols,
            stride};
  }
};

// One component (say, vtilde of layer 3) of the state of every slot: the slot's values are contiguous, and slots lie
// `slot_bytes` apart.
struct SlotArray {
  std::byte* base = nullptr;
  DType dtype = DType::kF32;
  int64_t slot_bytes = 0;

  template <class T>
  T* slot(int32_t id) const {
    ABSL_RAW_CHECK(dtype == DTypeOf<T>::value, "state read with another element type than its own");
    return reinterpret_cast<T*>(base + id * slot_bytes);
  }
};

// What one step asks of one slot: `rows` consecutive tokens of its sequence, the first at `position` (from 0), whose
// activations are rows [row, row + rows) of the step's matrices. A slot appears at most once in a step.
//
// `prefill` chooses the arithmetic, never the result's meaning: false is the recurrent form, token by token (decode,
// rewind's replay); true is the chunked form. The chunked kernels cut at absolute positions divisible by kChunk, so a
// prefill cut there between steps has the same bits as one uncut (the scheduler cuts nowhere else).
struct Segment {
  int32_t slot = 0;
  int32_t row = 0;
  int32_t rows = 0;
  int64_t position = 0;
  bool prefill = false;

  // A chain: consecutive segments of one decode row each, in slots of their own. A segment with `from` >= 0 follows the
  // one of that slot in the list, and its slot becomes what that one left behind, one token further: afterwards the
  // chain's slots hold the sequence's state after each of its tokens. Of the rings only the rows of tokens
  // [stale_begin, stale_end) are taken over: the rest is equal already.
  int32_t from = -1;
  int64_t stale_begin = 0;
  int64_t stale_end = 0;
};

inline constexpr int64_t kChunk = 64;  // tokens

using Segments = absl::Span<const Segment>;

}  // namespace barista
