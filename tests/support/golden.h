// The golden data of tests/golden: checkpoints and the logits they must give.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "server/model/mapped_file.h"
#include "server/model/safetensors.h"

namespace barista {

template <class T>
struct GoldenTensor {
  std::vector<int64_t> shape;
  std::vector<T> values;

  // Row i of the first dimension, flattened.
  absl::Span<const T> row(int64_t i) const {
    const size_t size = values.size() / shape[0];
    return absl::MakeConstSpan(values).subspan(i * size, size);
  }
};

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& directory) : path_(directory + "/golden.safetensors") {
    auto file = MappedFile::Open(path_);
    if (!file.ok()) ADD_FAILURE() << file.status();
    file_ = *std::move(file);
    auto entries = ParseSafetensorsHeader(file_->bytes(), path_);
    if (!entries.ok()) ADD_FAILURE() << entries.status();
    entries_ = *std::move(entries);
  }

  bool has(const std::string& name) const { return Find(name) != nullptr; }

  // T: int32_t for I32, float for F32, double for F64.
  template <class T>
  GoldenTensor<T> Read(const std::string& name) const {
    const SafetensorsEntry* entry = Find(name);
    if (entry == nullptr) {
      ADD_FAILURE() << path_ << " has no " << name;
      return {};
    }
    GoldenTensor<T> tensor{entry->shape, std::vector<T>((entry->end - entry->begin) / sizeof(T))};
    std::memcpy(tensor.values.data(), file_->bytes().data() + entry->begin, entry->end - entry->begin);
    return tensor;
  }

 private:
  const SafetensorsEntry* Find(const std::string& name) const {
    for (const SafetensorsEntry& entry : entries_) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::vector<SafetensorsEntry> entries_;
};

// Every checkpoint directory of tests/golden, relative to the repository's root.
inline std::vector<std::string> GoldenDirectories() {
  std::vector<std::string> directories;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests/golden")) {
    if (entry.path().filename() == "golden.safetensors") directories.push_back(entry.path().parent_path().string());
  }
  std::sort(directories.begin(), directories.end());
  return directories;
}

}  // namespace barista
