#include "server/model/safetensors.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/model/strict_json.h"

namespace barista {
namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 16 << 20;
constexpr size_t kMaxRank = 8;

// Bytes of an element of the format's types; 0 where there is no such type.
uint64_t ElementSize(absl::string_view dtype) {
  static constexpr std::pair<absl::string_view, uint64_t> kSizes[] = {
      {"F32", 4}, {"BF16", 2}, {"F16", 2}, {"F64", 8}, {"I64", 8},  {"I32", 4},     {"I16", 2},    {"I8", 1},
      {"U64", 8}, {"U32", 4},  {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  for (const auto& [name, size] : kSizes) {
    if (name == dtype) return size;
  }
  return 0;
}

std::optional<DType> WeightType(absl::string_view dtype) {
  if (dtype == "F32") return DType::kF32;
  if (dtype == "BF16") return DType::kBF16;
  if (dtype == "F16") return DType::kF16;
  return std::nullopt;
}

absl::Status Invalid(absl::string_view origin, absl::string_view tensor, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(origin, ": tensor ", Quoted(tensor), " ", problem));
}

// One member of the header. `data_start` and `data_size` delimit the tensors' part of the file.
absl::StatusOr<SafetensorsEntry> ReadEntry(const std::string& name, const json& value, uint64_t data_start,
                                           uint64_t data_size, absl::string_view origin) {
  if (!value.is_object()) return Invalid(origin, name, absl::StrCat("is not described by an object: ", Shown(value)));
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(key)) return Invalid(origin, name, absl::StrCat("has no ", key));
  }
  for (const auto& [key, unused] : value.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      return Invalid(origin, name, absl::StrCat("has the unknown key ", Quoted(key)));
    }
  }

  SafetensorsEntry entry{.name = name, .dtype = {}, .shape = {}};
  const json& dtype = value["dtype"];
  if (!dtype.is_string() || ElementSize(dtype.get_ref<const std::string&>()) == 0) {
    return Invalid(origin, name, absl::StrCat("has the unknown dtype ", Shown(dtype)));
  }
  entry.dtype = dtype.get<std::string>();

  const json& shape = value["shape"];
  if (!shape.is_array() || shape.size() > kMaxRank) {
    return Invalid(origin, name, absl::StrCat("has shape ", Shown(shape), "; must be a list of at most ", kMaxRank));
  }
  uint64_t bytes = ElementSize(entry.dtype);
  bool overflow = false, zero = false;
  for (const json& extent : shape) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > std::numeric_limits<int64_t>::max()) {
      return Invalid(origin, name, absl::StrCat("has shape ", Shown(shape), "; extents must be integers >= 0"));
    }
    entry.shape.push_back(extent.get<int64_t>());
    zero |= extent == 0;
    overflow |= __builtin_mul_overflow(bytes, extent.get<uint64_t>(), &bytes);
  }
  if (overflow && !zero) return Invalid(origin, name, absl::StrCat("has shape ", Shown(shape), "; its size overflows"));
  if (zero) bytes = 0;

  const json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    return Invalid(origin, name, absl::StrCat("has data_offsets ", Shown(offsets), "; must be [begin, end]"));
  }
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > data_size) {
    return Invalid(origin, name,
                   absl::StrCat("has data_offsets ", Shown(offsets), "; must be begin <= end <= ", data_size,
                                ", the bytes after the header"));
  }
  if (end - begin != bytes) {
    return Invalid(origin, name,
                   absl::StrCat("has data_offsets ", Shown(offsets), " of ", end - begin, " bytes; ", entry.dtype, " ",
                                Shown(shape), " takes ", bytes));
  }
  entry.begin = data_start + begin;
  entry.end = data_start + end;
  return entry;
}

absl::Status CheckMetadata(const json& metadata, absl::string_view origin) {
  bool valid = metadata.is_object();
  if (valid) valid = std::all_of(metadata.begin(), metadata.end(), [](const json& v) { return v.is_string(); });
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(origin, ": __metadata__ must map strings to strings"));
}

// `entries` are sorted: each must begin where the one before it ended, up to the end of the file.
absl::Status CheckCoverage(const std::vector<SafetensorsEntry>& entries, uint64_t data_start, uint64_t file_size,
                           absl::string_view origin) {
  uint64_t covered = data_start;
  absl::string_view previous;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < covered) {
      return Invalid(origin, entry.name,
                     absl::StrCat("overlaps ", covered - entry.begin, " bytes of ", Quoted(previous)));
    }
    if (entry.begin > covered) {
      return Invalid(origin, entry.name, absl::StrCat("leaves a hole of ", entry.begin - covered, " bytes before it"));
    }
    covered = entry.end;
    previous = entry.name;
  }
  if (covered == file_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(origin, ": ", file_size - covered, " bytes after the last tensor belong to none"));
}

}  // namespace

absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensorsHeader(absl::Span<const std::byte> file,
                                                                     absl::string_view origin) {
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": ", file.size(), " bytes; a safetensors file starts with an 8-byte header length"));
  }
  uint64_t length = 0;
  for (size_t i = kLengthBytes; i-- > 0;) length = length << 8 | static_cast<uint64_t>(file[i]);
  const uint64_t limit = std::min<uint64_t>(kMaxHeaderBytes, file.size() - kLengthBytes);
  if (length > limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        origin, ": header length is ", length, "; the limit is ", limit,
        limit == kMaxHeaderBytes ? " bytes"
                                 : " bytes, the rest of the file (is it truncated, or no safetensors file?)"));
  }
  const absl::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (text.empty() || text[0] != '{') {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": the header must start with '{'"));
  }
  const auto header = ParseStrictJson(text, absl::StrCat(origin, ": header"));
  if (!header.ok()) return header.status();

  const uint64_t data_start = kLengthBytes + length;
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : header->items()) {
    if (name == "__metadata__") {
      if (auto status = CheckMetadata(value, origin); !status.ok()) return status;
      continue;
    }
    auto entry = ReadEntry(name, value, data_start, file.size() - data_start, origin);
    if (!entry.ok()) return entry.status();
    entries.push_back(*std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  if (auto status = CheckCoverage(entries, data_start, file.size(), origin); !status.ok()) return status;
  return entries;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  auto entries = ParseSafetensorsHeader((*file)->bytes(), path);
  if (!entries.ok()) return entries.status();
  std::vector<HostTensor> tensors;
  tensors.reserve(entries->size());
  for (SafetensorsEntry& entry : *entries) {
    const auto dtype = WeightType(entry.dtype);
    if (!dtype)
      return Invalid(path, entry.name, absl::StrCat("has dtype ", entry.dtype, "; weights are F32, BF16 or F16"));
    tensors.push_back({std::move(entry.name), *dtype, std::move(entry.shape),
                       (*file)->bytes().subspan(entry.begin, entry.end - entry.begin)});
  }
  return SafetensorsFile(*std::move(file), std::move(tensors));
}

}  // namespace barista
