// Element-wise kernels move 4 bytes an element in and out, all of it in the L2 cache at the sizes of a step: a thread
// an element, neighbours beside each other.
#include <algorithm>

#include "kernels/activation/activation_cuda.cuh"
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"

namespace barista {
namespace {

constexpr int kThreads = 256;

template <class F>
__global__ void ElementsKernel(int64_t rows, int64_t cols, F f) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= cols) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) f(row, column);
}

template <class F>
void ForElements(CudaQueue& queue, const char* name, int64_t rows, int64_t cols, const F& f) {
  constexpr int64_t kRowsMax = 16384;  // of a grid
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(cols, kThreads),
          .blocks_y = std::min(rows, kRowsMax),
          .threads = kThreads,
          .overlaps = true,
          .name = name},
         ElementsKernel<F>, rows, cols, f);
}

struct GeluElement {
  DeviceRows x, y;
  __device__ void operator()(int64_t r, int64_t d) const { y.row(r)[d] = Gelu(x.row(r)[d]); }
};

struct GluElement {
  DeviceRows value, gate, x;
  __device__ void operator()(int64_t r, int64_t d) const { x.row(r)[d] += value.row(r)[d] * Sigmoid(gate.row(r)[d]); }
};

struct AddElement {
  DeviceRows x, y;
  __device__ void operator()(int64_t r, int64_t d) const { x.row(r)[d] += y.row(r)[d]; }
};

struct SoftcapElement {
  float cap;
  DeviceRows x;
  __device__ void operator()(int64_t r, int64_t v) const { x.row(r)[v] = cap * tanhf(x.row(r)[v] / cap); }
};

// A warp a group.
__global__ void GroupSoftmaxKernel(int64_t groups, int64_t groups_a_row, int64_t group, float scale, StepRows rows,
                                   DeviceRows x) {
  WaitForLaunchBefore();
  LetNextLaunchBegin();
  const int64_t g = int64_t{blockIdx.x} * Warps() + WarpIndex(), row = g / groups_a_row;
  if (g < groups && Covers(rows, row)) WarpSoftmax(x.row(row) + g % groups_a_row * group, group, scale);
}

}  // namespace

void GeluCuda(const GeluArgs& a, CudaQueue& queue) {
  ForElements(queue, "gelu", a.y.rows, a.y.cols, GeluElement{a.x, a.y});
}
void GluCuda(const GluArgs& a, CudaQueue& queue) {
  ForElements(queue, "glu", a.x.rows, a.x.cols, GluElement{a.value, a.gate, a.x});
}
void AddCuda(const AddArgs& a, CudaQueue& queue) {
  ForElements(queue, "add", a.x.rows, a.x.cols, AddElement{a.x, a.y});
}
void SoftcapCuda(const SoftcapArgs& a, CudaQueue& queue) {
  ForElements(queue, "softcap", a.x.rows, a.x.cols, SoftcapElement{static_cast<float>(a.cap), a.x});
}

void GroupSoftmaxCuda(const GroupSoftmaxArgs& a, CudaQueue& queue, const StepRows& rows) {
  const int64_t groups_a_row = a.x.cols / a.group, groups = a.x.rows * groups_a_row;
  Launch(queue,
         {.blocks_x = CeilDiv<int64_t>(groups, kThreads / 32),
          .threads = kThreads,
          .overlaps = true,
          .name = "group_softmax"},
         GroupSoftmaxKernel, groups, groups_a_row, a.group, static_cast<float>(a.scale), rows, DeviceRows(a.x));
}

}  // namespace barista
