// Reader of the safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
//
// Strict: the header's tensors must cover the rest of the file exactly, without overlap or hole, and each one's byte
// range must equal shape x element size. Nothing is copied; a HostTensor points into the mapping of its file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/dtype.h"
#include "server/model/mapped_file.h"

namespace barista {

// A tensor on the host, row-major. `bytes` may be unaligned for its type (a header of any length precedes it): read by
// memcpy. Valid while the SafetensorsFile (or Checkpoint) it came from lives.
struct HostTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // each >= 0; a scalar has rank 0
  absl::Span<const std::byte> bytes;
};

// One entry of a header, with the format's own name of the element type ("F32", "I64", ...).
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes, from the start of the file
  uint64_t end = 0;
};

// Parses and checks the header at the start of `file` (the whole file's bytes); entries are sorted by `begin`. Every
// element type of the format passes here. `origin` starts every message. Errors: InvalidArgument naming the tensor.
absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensorsHeader(absl::Span<const std::byte> file,
                                                                     absl::string_view origin);

class SafetensorsFile {
 public:
  // Maps and checks a file of weights: F32, BF16 and F16 only, other types are refused by name.
  // Errors: those of MappedFile::Open and ParseSafetensorsHeader.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  // In the order of their bytes in the file.
  const std::vector<HostTensor>& tensors() const { return tensors_; }
  const MappedFile& file() const { return *file_; }

 private:
  SafetensorsFile(std::shared_ptr<const MappedFile> file, std::vector<HostTensor> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}

  std::shared_ptr<const MappedFile> file_;
  std::vector<HostTensor> tensors_;
};

}  // namespace barista
