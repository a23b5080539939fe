// Seeded data for kernel tests, and owners of the views that kernels take. The same float values feed every element
// type, so a kernel in float and the truth in double start from equal inputs.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <random>
#include <vector>

#include "kernels/view.h"

namespace barista::test {

class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}
  std::vector<float> Normal(int64_t n, float deviation = 1, float mean = 0) {
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float> x(n);
    for (float& value : x) value = normal(bits_);
    return x;
  }
  int64_t Below(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(bits_); }

 private:
  std::mt19937_64 bits_;
};

// In place: softmax of each `group` consecutive values.
inline void Softmax(std::vector<float>& x, int64_t group) {
  for (size_t first = 0; first < x.size(); first += group) {
    float* row = x.data() + first;
    const float max = *std::max_element(row, row + group);
    float total = 0;
    for (int64_t i = 0; i < group; ++i) total += row[i] = std::exp(row[i] - max);
    for (int64_t i = 0; i < group; ++i) row[i] /= total;
  }
}

// Aligned to 64 bytes and in huge pages where it is large, as the memory of a backend is.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* p, size_t) { ::operator delete (p, std::align_val_t{64}); }
  bool operator==(const AlignedAllocator&) const { return true; }
};

// A matrix with rows `gap` elements longer than its columns; NaN where nothing was written.
template <class T>
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols, int64_t gap = 3)
      : rows_(rows), cols_(cols), stride_(cols + gap), data_(rows * stride_, std::numeric_limits<T>::quiet_NaN()) {}
  Matrix(int64_t rows, int64_t cols, const std::vector<float>& values, int64_t gap = 3) : Matrix(rows, cols, gap) {
    for (int64_t i = 0; i < rows * cols; ++i) data_[i / cols * stride_ + i % cols] = static_cast<T>(values[i]);
  }

  Rows view() { return {data_.data(), DTypeOf<T>::value, rows_, cols_, stride_}; }
  const std::vector<T, AlignedAllocator<T>>& data() const { return data_; }  // with the gaps
  std::vector<double> values() const {                                       // without the gaps
    std::vector<double> x;
    for (int64_t i = 0; i < rows_ * cols_; ++i)
      x.push_back(static_cast<double>(data_[i / cols_ * stride_ + i % cols_]));
    return x;
  }

 private:
  int64_t rows_, cols_, stride_;
  std::vector<T, AlignedAllocator<T>> data_;
};

// One component of the state of `slots` slots, `count` elements of `dtype` each, all bits set to `fill`.
class Slots {
 public:
  Slots(int32_t slots, int64_t count, DType dtype, double fill = 0)
      : count_(count),
        dtype_(dtype),
        slot_bytes_((count * static_cast<int64_t>(SizeOf(dtype)) + 127) / 64 * 64),
        data_(slots * slot_bytes_) {
    for (int32_t slot = 0; slot < slots; ++slot) {
      for (int64_t i = 0; i < count; ++i) {
        if (dtype == DType::kF64) array().slot<double>(slot)[i] = fill;
        if (dtype == DType::kF32) array().slot<float>(slot)[i] = static_cast<float>(fill);
      }
    }
  }

  SlotArray array() { return {data_.data(), dtype_, slot_bytes_}; }
  const std::vector<std::byte, AlignedAllocator<std::byte>>& data() const { return data_; }
  std::vector<double> values(int32_t slot) const {
    std::vector<double> x;
    for (int64_t i = 0; i < count_; ++i) x.push_back(LoadAsDouble(data_.data() + slot * slot_bytes_, dtype_, i));
    return x;
  }

 private:
  int64_t count_;
  DType dtype_;
  int64_t slot_bytes_;
  std::vector<std::byte, AlignedAllocator<std::byte>> data_;
};

}  // namespace barista::test
