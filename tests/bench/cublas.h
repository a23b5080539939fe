// The card's vendor's products, from the cuBLAS that this machine has: found when a program runs, so that the program
// starts where there is none. One thread, with a device chosen. A call that fails ends the program as in device.cuh.
#pragma once

#include <cublas_v2.h>

#include <memory>

namespace barista::bench {

class Cublas {
 public:
  // libcublas.so.13 or .12, where the loader looks; nullptr: neither is there.
  static std::unique_ptr<Cublas> Find();
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // y [rows, out] f32 = x [rows, in] w [out, in]^T, row-major, x and w of `type`; sums in f32, f32 operands never
  // rounded to TF32.
  void Multiply(cudaDataType type, int rows, int in, int out, const void* x, const void* w, float* y) const;

 private:
  Cublas() = default;

  cublasHandle_t handle_ = nullptr;
  decltype(&cublasDestroy) destroy_ = nullptr;
  void* multiply_ = nullptr;  // cublasGemmEx
};

}  // namespace barista::bench
