#include "kernels/math/scratch.h"

#include <memory>

namespace barista {
namespace {

constexpr int64_t kLine = 16;  // floats

}  // namespace

Scratch::Scratch(int64_t floats, int pieces) {
  thread_local std::unique_ptr<float[]> area;
  thread_local int64_t size = 0;
  const int64_t needed = floats + kLine * (pieces + 1);
  if (needed > size) {
    area.reset(new float[needed]);
    size = needed;
  }
  const uintptr_t at = reinterpret_cast<uintptr_t>(area.get());
  next_ = reinterpret_cast<float*>((at + 63) / 64 * 64);
}

float* Scratch::Take(int64_t floats) {
  float* piece = next_;
  next_ += (floats + kLine - 1) / kLine * kLine;
  return piece;
}

}  // namespace barista
