#include "kernels/cpu/stream_copy.h"

#include <emmintrin.h>

#include <cstring>

namespace barista {

void StreamCopy(void* dst, const void* src, size_t bytes) {
  constexpr size_t kLine = 64;
  const size_t lines = bytes / kLine;
  auto* to = static_cast<__m128i*>(dst);
  const auto* from = static_cast<const __m128i*>(src);
  for (size_t i = 0; i < lines; ++i, to += 4, from += 4) {
    const __m128i a = _mm_load_si128(from), b = _mm_load_si128(from + 1);
    const __m128i c = _mm_load_si128(from + 2), d = _mm_load_si128(from + 3);
    _mm_stream_si128(to, a);
    _mm_stream_si128(to + 1, b);
    _mm_stream_si128(to + 2, c);
    _mm_stream_si128(to + 3, d);
  }
  _mm_sfence();
  std::memcpy(to, from, bytes % kLine);
}

}  // namespace barista
