// Packing of weights at load, on the host.
#include <algorithm>
#include <cstring>

#include "kernels/cuda/memory.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/parts.h"

namespace barista {
namespace {

constexpr int64_t kTileOut = 16, kTileIn = 16, kUnitRows = 4;  // as product_*_cuda.h

// The weight's rows in the order that its kernel wants: units of `unit` rows, those of a gated weight half gate, half
// up.
struct UnitOrder {
  int64_t out, unit;
  bool gated;

  int64_t units() const { return (out + outputs() - 1) / outputs(); }
  int64_t outputs() const { return gated ? unit / 2 : unit; }
  // The row among all parts' that lies in place i of unit u; -1 for padding.
  int64_t Row(int64_t u, int64_t i) const {
    const int64_t o = u * outputs() + i % outputs();
    return o >= out ? -1 : (i < outputs() ? o : out + o);
  }
};

class Packer {
 public:
  Packer(LinearParts parts, DType dtype, UnitOrder order, int64_t stride)
      : parts_(parts), dtype_(dtype), order_(order), stride_(stride) {}

  std::vector<std::byte> Weight() const {
    const size_t size = SizeOf(dtype_);
    std::vector<std::byte> packed(order_.units() * order_.unit * stride_ * size);
    for (int64_t u = 0; u < order_.units(); ++u) {
      for (int64_t i = 0; i < order_.unit; ++i) {
        const int64_t row = order_.Row(u, i);
        for (int64_t k = 0; row >= 0 && k < parts_[0].in; ++k) Put(row, k, &packed[PlaceOf(u, i, k) * size]);
      }
    }
    return packed;
  }

  std::vector<float> Bias() const {
    std::vector<float> bias;
    for (const HostMatrix& m : parts_) {
      for (int64_t o = 0; o < m.out; ++o) {
        bias.push_back(m.bias == nullptr ? 0.0f : static_cast<float>(LoadAsDouble(m.bias, m.bias_dtype, o)));
      }
    }
    return bias;
  }

 private:
  // bf16: tiles as the first operand of m16n8k16 lies in the lanes (mma_cuda.cuh); else rows.
  int64_t PlaceOf(int64_t u, int64_t i, int64_t k) const {
    if (dtype_ != DType::kBF16) return (u * order_.unit + i) * stride_ + k;
    const int64_t tile = u * (stride_ / kTileIn) + k / kTileIn, column = k % kTileIn;
    const int64_t lane = i % 8 * 4 + column % 8 / 2, word = i / 8 + column / 8 * 2;
    return ((tile * 32 + lane) * 4 + word) * 2 + column % 2;
  }

  void Put(int64_t row, int64_t k, std::byte* to) const {
    const HostMatrix* m = parts_.data();
    while (row >= m->out) row -= m++->out;
    const int64_t at = m->Index(row, k);
    if (m->dtype == dtype_) {
      std::memcpy(to, static_cast<const std::byte*>(m->data) + at * SizeOf(dtype_), SizeOf(dtype_));
    } else {
      const float value = static_cast<float>(LoadAsDouble(m->data, m->dtype, at));
      std::memcpy(to, &value, sizeof(value));
    }
  }

  LinearParts parts_;
  DType dtype_;
  UnitOrder order_;
  int64_t stride_;
};

absl::StatusOr<Buffer> ToDevice(const void* data, size_t bytes, absl::string_view what) {
  absl::StatusOr<Buffer> buffer = AllocateDevice(bytes, what);
  if (!buffer.ok()) return buffer;
  if (absl::Status status = CopyToDevice(buffer->data(), data, bytes, what); !status.ok()) return status;
  return buffer;
}

// Each slice is a warp's work where rows are few: at least four tiles.
int SlicesOf(int64_t tiles_in) {
  int slices = 8;
  while (slices > 1 && tiles_in < 4 * slices) slices /= 2;
  return slices;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaLinear>> CudaLinear::Create(LinearParts parts, std::optional<Activation> act) {
  if (absl::Status status = CheckParts(parts, act.has_value()); !status.ok()) return status;
  auto linear = std::make_unique<CudaLinear>();
  linear->dtype_ = CommonType(parts);
  linear->act_ = act;
  linear->gated_ = act.has_value() && parts.size() == 2;
  linear->in_ = parts[0].in;
  for (const HostMatrix& m : parts) linear->out_ += m.out;
  if (linear->gated_) linear->out_ = parts[0].out;
  const bool tiled = linear->dtype_ == DType::kBF16;
  const int64_t piece = tiled ? kTileIn : 16 / static_cast<int64_t>(SizeOf(linear->dtype_));
  const UnitOrder order = {linear->out_, tiled ? kTileOut : kUnitRows, linear->gated_};
  linear->stride_ = (linear->in_ + piece - 1) / piece * piece;
  linear->units_ = static_cast<int>(order.units());
  linear->slices_ = tiled ? SlicesOf(linear->stride_ / kTileIn) : 1;

  const Packer packer(parts, linear->dtype_, order, linear->stride_);
  const std::vector<std::byte> packed = packer.Weight();
  absl::StatusOr<Buffer> weight = ToDevice(packed.data(), packed.size(), "packed weights");
  if (!weight.ok()) return weight.status();
  linear->weight_ = *std::move(weight);
  const std::vector<float> values = packer.Bias();
  absl::StatusOr<Buffer> bias = ToDevice(values.data(), values.size() * sizeof(float), "bias");
  if (!bias.ok()) return bias.status();
  linear->bias_ = *std::move(bias);
  linear->bytes_ = static_cast<int64_t>(linear->weight_.size() + linear->bias_.size());
  return linear;
}

}  // namespace barista
