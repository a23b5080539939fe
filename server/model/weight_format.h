// How the weights of a checkpoint are served: as stored, rounded to another type, or quantised.
#pragma once

#include <optional>
#include <string>

#include "kernels/dtype.h"
#include "kernels/matmul/quantize.h"
#include "server/model/checkpoint.h"

namespace barista {

struct WeightFormat {
  std::optional<DType> dtype;  // every tensor is rounded to it; nullopt: as stored
  // Of the linear layers of the network, from the tensors as stored. The head is int8 under int4 too: a logit is the
  // sum of nothing else. The embedding's table, norms, convolutions and the small blocks of RG-LRU gates stay.
  Quantization quantization = Quantization::kNone;

  Quantization head() const { return quantization == Quantization::kNone ? Quantization::kNone : Quantization::kInt8; }
};

// "auto" (as stored), "f32", "bf16", "f16", "int8", "int4"; nullopt for other words.
std::optional<WeightFormat> WeightFormatNamed(const std::string& name);

// What the linear layers are served as: "int8", or the name of the embedding's type.
std::string NameOf(const WeightFormat& format, const Checkpoint& checkpoint);

// Bytes of all weights in that format, the head of a tied model included; alignment and padding are not.
int64_t WeightBytes(const Checkpoint& checkpoint, const WeightFormat& format);

// SHA-256 in hex: models of equal fingerprints compute the same. The checkpoint's own where it is served as stored.
// Reads all weights, so call it once.
std::string ServedFingerprint(const Checkpoint& checkpoint, const WeightFormat& format);

}  // namespace barista
