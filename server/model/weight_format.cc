#include "server/model/weight_format.h"

#include <openssl/evp.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/model/tensor_names.h"

namespace barista {
namespace {

constexpr char kTable[] = "model.embed_tokens.weight";

int64_t QuantizedBytes(int64_t out, int64_t in, Quantization quantization) {
  const int64_t scale = sizeof(float), groups = (in + kQuantizedGroup - 1) / kQuantizedGroup;
  return out * (scale + (quantization == Quantization::kInt8 ? in : in / 2 + groups / 2));
}

int64_t TensorBytes(const HostTensor& tensor, std::optional<DType> as) {
  return static_cast<int64_t>(tensor.bytes.size() / SizeOf(tensor.dtype) * SizeOf(as.value_or(tensor.dtype)));
}

bool IsHead(absl::string_view name) { return name == "lm_head.weight" || name == "score.weight"; }

// Whether serving changes a weight.
bool Changes(const Checkpoint& checkpoint, const WeightFormat& format) {
  if (format.quantization != Quantization::kNone) return true;
  const std::vector<TensorSpec> specs = ExpectedTensors(checkpoint.config());
  return format.dtype && std::any_of(specs.begin(), specs.end(), [&](const TensorSpec& spec) {
           const HostTensor* tensor = checkpoint.find(spec.name);
           return tensor != nullptr && tensor->dtype != *format.dtype;
         });
}

}  // namespace

std::optional<WeightFormat> WeightFormatNamed(const std::string& name) {
  std::optional<WeightFormat> format;
  WeightFormat& named = format.emplace();
  if (name == "auto") return format;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (name != Name(dtype)) continue;
    named.dtype = dtype;
    return format;
  }
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    if (name != Name(quantization)) continue;
    named.quantization = quantization;
    return format;
  }
  return std::nullopt;
}

std::string NameOf(const WeightFormat& format, const Checkpoint& checkpoint) {
  if (format.quantization != Quantization::kNone) return std::string(Name(format.quantization));
  return std::string(Name(format.dtype.value_or(checkpoint.find(kTable)->dtype)));
}

int64_t WeightBytes(const Checkpoint& checkpoint, const WeightFormat& format) {
  const ModelConfig& config = checkpoint.config();
  const HostTensor& table = *checkpoint.find(kTable);
  int64_t bytes = 0;
  for (const TensorSpec& spec : ExpectedTensors(config)) {
    const HostTensor* tensor = checkpoint.find(spec.name);
    if (tensor == nullptr) continue;
    const Quantization quantization = IsHead(spec.name) ? format.head() : format.quantization;
    bytes += spec.linear && quantization != Quantization::kNone
                 ? QuantizedBytes(spec.shape[0], spec.shape[1], quantization)
                 : TensorBytes(*tensor, format.dtype);
  }
  if (config.task == Task::kCausalLm && config.tie_word_embeddings) {
    bytes += format.head() == Quantization::kNone
                 ? TensorBytes(table, format.dtype)
                 : QuantizedBytes(config.vocab_size, config.hidden_size, format.head());
  }
  return bytes;
}

std::string ServedFingerprint(const Checkpoint& checkpoint, const WeightFormat& format) {
  const std::string stored = checkpoint.fingerprint();
  if (!Changes(checkpoint, format)) return stored;
  const std::string text = absl::StrCat(stored, " as ", NameOf(format, checkpoint));
  std::string digest(EVP_MD_size(EVP_sha256()), '\0');
  EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(), nullptr);
  return absl::BytesToHexString(digest);
}

}  // namespace barista
