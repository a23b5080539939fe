#include "tests/bench/cublas.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace barista::bench {
namespace {

using Gemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m, int n, int k,
                                const void* alpha, const void* a, cudaDataType, int lda, const void* b, cudaDataType,
                                int ldb, const void* beta, void* c, cudaDataType, int ldc, cublasComputeType_t,
                                cublasGemmAlgo_t);
static_assert(sizeof(static_cast<Gemm>(&cublasGemmEx)) > 0, "it is one of cublasGemmEx' types");

void Check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s: cuBLAS status %d\n", call, static_cast<int>(status));
  std::exit(1);
}

// A library stays open: others of the process may have begun to use it.
void* Open() {
  for (const char* name : {"libcublas.so.13", "libcublas.so.12"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL); library != nullptr) return library;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Cublas> Cublas::Find() {
  void* library = Open();
  if (library == nullptr) return nullptr;
  const auto create = reinterpret_cast<decltype(&cublasCreate)>(dlsym(library, "cublasCreate_v2"));
  std::unique_ptr<Cublas> cublas(new Cublas());
  cublas->destroy_ = reinterpret_cast<decltype(&cublasDestroy)>(dlsym(library, "cublasDestroy_v2"));
  cublas->multiply_ = dlsym(library, "cublasGemmEx");
  if (create == nullptr || cublas->destroy_ == nullptr || cublas->multiply_ == nullptr) return nullptr;
  Check(create(&cublas->handle_), "cublasCreate");
  return cublas;
}

Cublas::~Cublas() {
  if (handle_ != nullptr) Check(destroy_(handle_), "cublasDestroy");
}

// cuBLAS is column-major: to it, y is [out, rows] = w^T x.
void Cublas::Multiply(cudaDataType type, int rows, int in, int out, const void* x, const void* w, float* y) const {
  const float one = 1, zero = 0;
  const auto multiply = reinterpret_cast<Gemm>(multiply_);
  Check(multiply(handle_, CUBLAS_OP_T, CUBLAS_OP_N, out, rows, in, &one, w, type, in, x, type, in, &zero, y, CUDA_R_32F,
                 out, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
}

}  // namespace barista::bench
