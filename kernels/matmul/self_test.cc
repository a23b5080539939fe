#include "kernels/matmul/self_test.h"

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/matmul/matmul_cpu.h"
#include "kernels/matmul/noise.h"

namespace barista {
namespace {

constexpr int64_t kIn = 200, kOut = 72, kRows = 35;  // no whole number of chunks, panels or row blocks

absl::Status Check(DType dtype, Quantization quantization, CpuIsa isa, ThreadPool& pool) {
  uint32_t state = 1;
  std::vector<float> weight_values(kIn * kOut), x(kIn * kRows);
  for (float& value : weight_values) value = Noise(state);
  for (float& value : x) value = Noise(state);
  std::vector<uint16_t> halves;
  for (const float value : weight_values) {
    halves.push_back(dtype == DType::kBF16 ? ToBFloat16(value).bits : ToFloat16(value).bits);
  }
  HostMatrix matrix;
  matrix.data = dtype == DType::kF32 ? static_cast<const void*>(weight_values.data()) : halves.data();
  matrix.dtype = dtype;
  matrix.out = kOut;
  matrix.in = kIn;
  absl::StatusOr<std::unique_ptr<CpuLinear>> weight =
      CpuLinear::Create({&matrix, 1}, std::nullopt, quantization, isa, pool);
  if (!weight.ok()) return weight.status();
  CpuMatmul matmul(pool);
  if (absl::Status status = matmul.Reserve(kIn); !status.ok()) return status;

  std::vector<float> together(kOut * kRows), alone(kOut * kRows);
  const Rows x_rows = {x.data(), DType::kF32, kRows, kIn, kIn};
  const LinearCall all = {weight->get(), x_rows, {together.data(), DType::kF32, kRows, kOut, kOut}, false};
  matmul.Multiply({&all, 1});
  const Rows alone_rows = {alone.data(), DType::kF32, kRows, kOut, kOut};
  for (int64_t r = 0; r < kRows; ++r) {
    const LinearCall one = {weight->get(), x_rows.Slice(r, 1), alone_rows.Slice(r, 1), false};
    matmul.Multiply({&one, 1});
  }
  if (std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)) == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("self-test: with ", std::string(Name(isa)), " the product of ",
                   std::string(quantization == Quantization::kNone ? Name(dtype) : Name(quantization)),
                   " weights depends on the number of rows; choose a lower cpu_isa"));
}

}  // namespace

absl::Status CheckRowBits(CpuIsa isa, ThreadPool& pool) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (absl::Status status = Check(dtype, Quantization::kNone, isa, pool); !status.ok()) return status;
  }
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    if (absl::Status status = Check(DType::kF32, quantization, isa, pool); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace barista
