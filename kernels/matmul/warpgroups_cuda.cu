#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/memory.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/noise.h"
#include "kernels/matmul/warpgroups_cuda.h"
#include "kernels/matmul/wgmma_cuda.cuh"

namespace barista {
namespace {

// One block of both kernels, four slices of unequal length, the last of an odd number of tiles.
constexpr int64_t kIn = 272, kOut = 256, kRowCount = 128;

__global__ void HasWarpgroupsKernel(int* answer) { *answer = kHasWarpgroups ? 1 : 0; }

// Of magnitudes 2^-12 to 2^12.
float WideNoise(uint32_t& state) {
  const float mantissa = Noise(state);
  return std::ldexp(mantissa, static_cast<int>(Noise(state) * 12.5f));
}

absl::Status ToHost(void* to, const Buffer& from, CudaQueue& queue) {
  cudaError_t error = cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyDeviceToHost, queue.stream());
  if (error == cudaSuccess) error = cudaStreamSynchronize(queue.stream());
  if (error != cudaSuccess) queue.Fail(ToStatus(error, "the check of wgmma"));
  return queue.status();
}

}  // namespace

absl::StatusOr<bool> WarpgroupsMultiplyAlike(const CudaCard& card, CudaQueue& queue) {
  int compiled = 0;
  absl::StatusOr<Buffer> answer = AllocateDevice(sizeof(compiled), "the check of wgmma");
  if (!answer.ok()) return answer.status();
  Launch(queue, {.threads = 32, .name = "has_warpgroups"}, HasWarpgroupsKernel, reinterpret_cast<int*>(answer->data()));
  if (absl::Status status = ToHost(&compiled, *answer, queue); !status.ok()) return status;
  if (compiled == 0) return false;

  uint32_t state = 1;
  std::vector<BFloat16> weights(kIn * kOut);
  std::vector<float> values(kIn * kRowCount);
  for (BFloat16& weight : weights) weight = ToBFloat16(WideNoise(state));
  for (float& value : values) value = WideNoise(state);
  HostMatrix matrix;
  matrix.data = weights.data();
  matrix.dtype = DType::kBF16;
  matrix.out = kOut;
  matrix.in = kIn;
  auto weight = CudaLinear::Create({&matrix, 1}, std::nullopt, Quantization::kNone);
  if (!weight.ok()) return weight.status();
  absl::StatusOr<Buffer> x = AllocateDevice(values.size() * sizeof(float), "the check of wgmma");
  absl::StatusOr<Buffer> y = AllocateDevice(kRowCount * kOut * sizeof(float), "the check of wgmma");
  if (!x.ok() || !y.ok()) return x.ok() ? y.status() : x.status();
  if (absl::Status s = CopyToDevice(x->data(), values.data(), x->size(), "the check of wgmma"); !s.ok()) return s;
  const LinearCall call = {
      weight->get(), {x->data(), DType::kF32, kRowCount, kIn, kIn}, {y->data(), DType::kF32, kRowCount, kOut, kOut}};
  std::vector<float> results[2];
  for (const bool warpgroups : {false, true}) {
    // One multiprocessor: then the largest blocks are the fastest.
    CudaMatmul matmul({.multiprocessors = 1, .shared_max = card.shared_max, .warpgroups = warpgroups});
    if (absl::Status status = matmul.Reserve(kRowCount, kIn); !status.ok()) return status;
    matmul.Multiply({&call, 1}, queue);
    results[warpgroups].resize(kRowCount * kOut);
    if (absl::Status status = ToHost(results[warpgroups].data(), *y, queue); !status.ok()) return status;
  }
  return std::memcmp(results[0].data(), results[1].data(), results[0].size() * sizeof(float)) == 0;
}

}  // namespace barista
