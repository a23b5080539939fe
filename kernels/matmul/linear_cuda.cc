// Packing of weights at load, on the host.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

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

WeightForm FormOf(DType dtype, Quantization quantization) {
  if (quantization != Quantization::kNone) {
    return quantization == Quantization::kInt8 ? WeightForm::kInt8 : WeightForm::kInt4;
  }
  return dtype == DType::kBF16 ? WeightForm::kBF16 : dtype == DType::kF16 ? WeightForm::kF16 : WeightForm::kF32;
}

// A quantised weight.
struct Integers {
  std::vector<std::byte> weight;
  std::vector<uint8_t> multipliers;  // int4
  std::vector<float> scale;          // of all parts' rows
};

class Packer {
 public:
  Packer(LinearParts parts, DType dtype, bool tiled, UnitOrder order, int64_t stride)
      : parts_(parts), dtype_(dtype), tiled_(tiled), order_(order), stride_(stride) {}

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

  // int8 as bytes of n + 128, int4 as nibbles of q + 8, the first of two in the low bits.
  Integers Quantized(Quantization quantization) const {
    const bool int4 = quantization == Quantization::kInt4;
    const int64_t elements = order_.units() * order_.unit * stride_, groups = (stride_ / kTileIn + 1) / 2;
    Integers packed;
    packed.weight.assign(int4 ? elements / 2 : elements, int4 ? std::byte{0x88} : std::byte{0x80});
    if (int4) packed.multipliers.resize(order_.units() * groups * kTileOut);
    packed.scale.resize(order_.gated ? 2 * order_.out : order_.out);
    std::vector<float> weights(parts_[0].in);
    for (int64_t u = 0; u < order_.units(); ++u) {
      for (int64_t i = 0; i < order_.unit; ++i) {
        int64_t row = order_.Row(u, i);
        if (row < 0) continue;
        float& scale = packed.scale[row];
        const HostMatrix& part = PartOf(row);
        ReadOutput(part, row, weights.data());
        const QuantizedRow quantized = QuantizeRow(weights, quantization);
        scale = quantized.scale;
        for (size_t g = 0; g < quantized.multipliers.size(); ++g) {
          packed.multipliers[(u * groups + static_cast<int64_t>(g)) * kTileOut + i] = quantized.multipliers[g];
        }
        for (int64_t k = 0; k < part.in; ++k) {
          const int64_t place = PlaceOf(u, i, k);
          if (!int4) {
            packed.weight[place] = static_cast<std::byte>(quantized.q[k] + 128);
          } else {  // what is there is 8
            packed.weight[place / 2] ^= static_cast<std::byte>((quantized.q[k] + 8) ^ 8) << place % 2 * 4;
          }
        }
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
  // Tiles as the first operand of m16n8k16 lies in the lanes (mma_cuda.cuh); else rows.
  int64_t PlaceOf(int64_t u, int64_t i, int64_t k) const {
    if (!tiled_) return (u * order_.unit + i) * stride_ + k;
    const int64_t tile = u * (stride_ / kTileIn) + k / kTileIn, column = k % kTileIn;
    const int64_t lane = i % 8 * 4 + column % 8 / 2, word = i / 8 + column / 8 * 2;
    return ((tile * 32 + lane) * 4 + word) * 2 + column % 2;
  }

  void Put(int64_t row, int64_t k, std::byte* to) const {
    const HostMatrix& m = PartOf(row);
    const int64_t at = m.Index(row, k);
    if (m.dtype == dtype_) {
      std::memcpy(to, static_cast<const std::byte*>(m.data) + at * SizeOf(dtype_), SizeOf(dtype_));
    } else {
      const float value = static_cast<float>(LoadAsDouble(m.data, m.dtype, at));
      std::memcpy(to, &value, sizeof(value));
    }
  }

  // The part that holds a row of all; `row` becomes its own.
  const HostMatrix& PartOf(int64_t& row) const {
    const HostMatrix* m = parts_.data();
    while (row >= m->out) row -= m++->out;
    return *m;
  }

  LinearParts parts_;
  DType dtype_;
  bool tiled_;
  UnitOrder order_;
  int64_t stride_;
};

// Stays without memory where there is nothing.
template <class T>
absl::Status ToDevice(const std::vector<T>& data, absl::string_view what, Buffer& to) {
  if (data.empty()) return absl::OkStatus();
  absl::StatusOr<Buffer> buffer = AllocateDevice(data.size() * sizeof(T), what);
  if (!buffer.ok()) return buffer.status();
  to = *std::move(buffer);
  return CopyToDevice(to.data(), data.data(), to.size(), what);
}

// Each slice is a warp's work where rows are few: at least four tiles.
int SlicesOf(int64_t tiles_in) {
  int slices = kSlicesMax;
  while (slices > 1 && tiles_in < 4 * slices) slices /= 2;
  return slices;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaLinear>> CudaLinear::Create(LinearParts parts, std::optional<Activation> act,
                                                               Quantization quantization) {
  if (absl::Status status = CheckParts(parts, act.has_value()); !status.ok()) return status;
  auto linear = std::make_unique<CudaLinear>();
  const DType dtype = CommonType(parts);
  linear->form_ = FormOf(dtype, quantization);
  linear->act_ = act;
  linear->gated_ = act.has_value() && parts.size() == 2;
  linear->in_ = parts[0].in;
  for (const HostMatrix& m : parts) linear->out_ += m.out;
  if (linear->gated_) linear->out_ = parts[0].out;
  const bool tiled = IsTiled(linear->form_);
  const int64_t piece = tiled ? kTileIn : 16 / static_cast<int64_t>(SizeOf(dtype));
  const UnitOrder order = {linear->out_, tiled ? kTileOut : kUnitRows, linear->gated_};
  linear->stride_ = (linear->in_ + piece - 1) / piece * piece;
  linear->units_ = static_cast<int>(order.units());
  linear->slices_ = tiled ? SlicesOf(linear->stride_ / kTileIn) : 1;

  const Packer packer(parts, dtype, tiled, order, linear->stride_);
  Integers packed;
  if (quantization == Quantization::kNone) {
    packed.weight = packer.Weight();
  } else {
    packed = packer.Quantized(quantization);
  }
  for (const absl::Status& status :
       {ToDevice(packed.weight, "packed weights", linear->weight_),
        ToDevice(packed.multipliers, "multipliers", linear->multipliers_),
        ToDevice(packed.scale, "scales", linear->scale_), ToDevice(packer.Bias(), "bias", linear->bias_)}) {
    if (!status.ok()) return status;
  }
  linear->bytes_ = static_cast<int64_t>(linear->weight_.size() + linear->multipliers_.size() + linear->scale_.size() +
                                        linear->bias_.size());
  return linear;
}

}  // namespace barista
