#include <algorithm>
#include <utility>

#include "kernels/cuda/memory.h"
#include "kernels/matmul/matmul_cuda.h"
#include "kernels/matmul/product_float_cuda.h"
#include "kernels/matmul/product_tiles_cuda.h"

namespace barista {
namespace {

const CudaLinear& WeightOf(const LinearCall& call) { return *static_cast<const CudaLinear*>(call.weight); }

int TilesIn(const LinearCall& call) { return static_cast<int>(WeightOf(call).stride() / kTileIn); }

int64_t PackedBytes(int64_t rows, int64_t tiles_in) {
  return RoundUp<int64_t>(rows, kTileBatch) * tiles_in * kTileIn * static_cast<int64_t>(sizeof(BFloat16));
}

// Of the call's x, which is a part of the norm's y.
int64_t FirstColumn(const LinearCall& call, const NormArgs& norm) {
  return static_cast<const float*>(call.x.data) - static_cast<const float*>(norm.y.data);
}

bool SameRows(const Packing& p, const LinearCall& call) {
  return p.x.data == call.x.data && p.x.stride == call.x.stride && p.rows == call.x.rows && p.in == call.x.cols;
}
bool SameRows(const Rows& rows, const LinearCall& call) {
  return rows.data == call.x.data && rows.stride == call.x.stride && rows.rows == call.x.rows &&
         rows.cols == call.x.cols;
}

Product ProductOf(const LinearCall& call) {
  const CudaLinear& weight = WeightOf(call);
  Product p;
  p.weight = weight.weight();
  p.multipliers = weight.multipliers();
  p.x = call.x;
  p.in = weight.in();
  p.stride = weight.stride();
  p.tiles_in = TilesIn(call);
  p.slices = weight.slices();
  p.units = weight.units();
  p.ending.y = call.y;
  p.ending.bias = weight.bias();
  p.ending.scale = weight.scale();
  p.ending.rows = call.x.rows;
  p.ending.out = weight.out();
  p.ending.act = weight.act().value_or(Activation::kSilu);
  p.ending.activated = weight.act().has_value();
  p.ending.gated = weight.gated();
  p.ending.accumulate = call.accumulate;
  return p;
}

}  // namespace

absl::Status CudaMatmul::Reserve(int64_t rows_max, int64_t in) {
  const size_t bytes = static_cast<size_t>(PackedBytes(rows_max, CeilDiv<int64_t>(in, kTileIn)));
  if (bytes <= made_.size()) return absl::OkStatus();
  absl::StatusOr<Buffer> room = AllocateDevice(2 * bytes, "packed activations");  // several products' at once
  if (!room.ok()) return room.status();
  absl::StatusOr<Buffer> made = AllocateDevice(bytes, "packed activations");
  if (!made.ok()) return made.status();
  room_ = *std::move(room);
  made_ = *std::move(made);
  return absl::OkStatus();
}

PackedRows CudaMatmul::TargetFor(const Rows& y) {
  ready_ = {};
  const int64_t tiles = y.cols / kTileIn;
  // What lies behind the last column of a tile that is not full would be the last one's who made rows.
  if (y.rows <= kDirectRowsMax || y.cols % kTileIn != 0 ||
      static_cast<size_t>(PackedBytes(y.rows, tiles)) > made_.size()) {
    return {};
  }
  ready_ = y;
  return {reinterpret_cast<BFloat16*>(made_.data()), static_cast<int>(tiles)};
}

void CudaMatmul::Multiply(absl::Span<const LinearCall> calls, CudaQueue& queue) {
  const Rows ready = std::exchange(ready_, {});
  for (const WeightForm form : kAllWeightForms) {
    together_.clear();
    for (const LinearCall& call : calls) {
      if (WeightOf(call).form() == form && call.x.rows > 0) together_.push_back(&call);
    }
    if (!together_.empty()) RunTogether(together_, ready, queue);
  }
}

void CudaMatmul::NormMultiply(const NormArgs& norm, absl::Span<const LinearCall> calls, CudaQueue& queue) {
  const int64_t rows = norm.x.rows, D = norm.x.cols, tiles = CeilDiv<int64_t>(D, kTileIn);
  const bool direct = rows <= kDirectRowsMax;
  const WeightForm form = WeightOf(calls[0]).form();
  const auto fits = [&](const LinearCall& call) {
    const int64_t first = FirstColumn(call, norm), end = first + WeightOf(call).stride();
    const bool whole_tiles = first % kTileIn == 0 && end <= tiles * kTileIn;
    const bool in_gap = first % 2 == 0 && end <= tiles * kTileIn + kNormedGap;
    return WeightOf(call).form() == form && (direct ? in_gap : whole_tiles);
  };
  const bool room = direct ? NormedTileFits(D) : static_cast<size_t>(PackedBytes(rows, tiles)) <= room_.size();
  if (rows == 0 || !IsTiled(form) || !room || calls.size() > kProductsMax ||
      !std::all_of(calls.begin(), calls.end(), fits)) {
    NormCuda(norm, queue);
    return Multiply(calls, queue);
  }
  ready_ = {};
  uint32_t* packed = reinterpret_cast<uint32_t*>(room_.data());
  Products products;
  for (const LinearCall& call : calls) {
    Product& product = products.of[products.count++] = ProductOf(call);
    product.first_column = static_cast<int>(FirstColumn(call, norm));
    product.packed = packed + product.first_column / kTileIn * kPackedWords;
    product.packed_tiles_in = static_cast<int>(tiles);
    if (call.for_products) product.ending.packed = TargetFor(call.y);
  }
  if (direct) return RunNormTileProducts(products, form, DeviceNorm(norm), queue);
  PackNormedRows(DeviceNorm(norm), rows, packed, queue);
  RunTileProducts(products, form, rows, card_, queue);
}

// As many calls a launch as its parameters and the room for packed rows hold.
void CudaMatmul::RunTogether(absl::Span<const LinearCall* const> calls, const Rows& ready, CudaQueue& queue) {
  const WeightForm form = WeightOf(*calls[0]).form();
  int64_t rows = 0;
  for (const LinearCall* call : calls) rows = std::max(rows, call->x.rows);
  const bool packed = IsTiled(form) && rows > kDirectRowsMax;
  Products products;
  Packings packings;
  size_t used = 0;
  const auto run = [&] {
    if (packings.count > 0) PackRows(packings, queue);
    if (IsTiled(form)) {
      RunTileProducts(products, form, rows, card_, queue);
    } else {
      RunFloatProducts(products, form, rows, queue);
    }
    products.count = packings.count = 0;
    used = 0;
  };
  for (const LinearCall* call : calls) {
    const size_t bytes = packed ? static_cast<size_t>(PackedBytes(call->x.rows, TilesIn(*call))) : 0;
    if (products.count == kProductsMax || used + bytes > room_.size()) run();
    Product& product = products.of[products.count++] = ProductOf(*call);
    if (packed && SameRows(ready, *call)) {
      product.packed = reinterpret_cast<const uint32_t*>(made_.data());
      product.packed_tiles_in = product.tiles_in;
      continue;
    }
    if (call->for_products) product.ending.packed = TargetFor(call->y);
    if (!packed) continue;
    int i = 0;
    while (i < packings.count && !SameRows(packings.of[i], *call)) ++i;
    if (i == packings.count) {
      packings.of[packings.count++] = {.x = call->x,
                                       .rows = call->x.rows,
                                       .in = call->x.cols,
                                       .tiles_in = TilesIn(*call),
                                       .packed = reinterpret_cast<uint32_t*>(room_.data() + used)};
      used += bytes;
    }
    product.packed = packings.of[i].packed;
    product.packed_tiles_in = product.tiles_in;
  }
  run();
}

}  // namespace barista
