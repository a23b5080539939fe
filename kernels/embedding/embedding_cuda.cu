// A row of the table in, a row of activations out: SizeOf(table) + 4 bytes an element. A thread an element.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/embedding/embedding.h"

namespace barista {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void EmbedKernel(const int32_t* tokens, const int64_t* positions, const T* table, float scale,
                            bool sinusoidal, int64_t D, DeviceRows x) {
  const int64_t d = int64_t{blockIdx.x} * kThreads + threadIdx.x, row = blockIdx.y;
  if (d >= D) return;
  float value = ToFloat(table[tokens[row] * D + d]) * scale;
  if (sinusoidal) {
    const double frequency = pow(10000.0, -static_cast<double>(d / 2 * 2) / static_cast<double>(D));
    const double angle = static_cast<double>(positions[row]) * frequency;
    value += static_cast<float>(d % 2 == 0 ? sin(angle) : cos(angle));
  }
  x.row(row)[d] = value;
}

template <class T>
void Embed(const EmbedArgs& a, CudaQueue& queue) {
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(a.x.cols, kThreads), .blocks_y = a.x.rows, .threads = kThreads, .name = "embed"},
         EmbedKernel<T>, a.tokens.data(), a.positions.data(), static_cast<const T*>(a.table),
         static_cast<float>(a.scale), a.sinusoidal, a.x.cols, DeviceRows(a.x));
}

}  // namespace

void EmbedCuda(const EmbedArgs& a, CudaQueue& queue) {
  switch (a.table_dtype) {
    case DType::kF64:
      return Embed<double>(a, queue);
    case DType::kF32:
      return Embed<float>(a, queue);
    case DType::kBF16:
      return Embed<BFloat16>(a, queue);
    case DType::kF16:
      return Embed<Float16>(a, queue);
  }
}

}  // namespace barista
