// Builds safetensors files in memory: valid ones from tensors, and any other from a header text and data bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace barista {

// 8 bytes little-endian `length`, then `header`, then `data`; `length` need not be true.
inline std::string RawSafetensors(uint64_t length, std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>(length >> (8 * i) & 0xff));
  return file.append(header).append(data);
}
inline std::string RawSafetensors(std::string_view header, std::string_view data) {
  return RawSafetensors(header.size(), header, data);
}

class SafetensorsBuilder {
 public:
  // Appends a tensor; `data` is as long as the caller likes, which is the way to lie about the shape.
  SafetensorsBuilder& Add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
                          std::string_view data) {
    header_[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {data_.size(), data_.size() + data.size()}}};
    data_.append(data);
    return *this;
  }

  // A tensor of small float32 values that depend on its name and their index alone.
  SafetensorsBuilder& AddF32(const std::string& name, const std::vector<int64_t>& shape) {
    uint64_t count = 1, seed = 0;
    for (int64_t extent : shape) count *= static_cast<uint64_t>(extent);
    for (char c : name) seed = seed * 31 + static_cast<unsigned char>(c);
    std::string bytes(count * sizeof(float), '\0');
    for (uint64_t i = 0; i < count; ++i) {
      const float value = static_cast<float>((seed + i * 7919) % 1000) / 1000.0f - 0.5f;
      std::memcpy(&bytes[i * sizeof(float)], &value, sizeof(float));
    }
    return Add(name, "F32", shape, bytes);
  }

  nlohmann::json& header() { return header_; }
  std::string Build() const { return RawSafetensors(header_.dump(), data_); }

 private:
  nlohmann::json header_ = nlohmann::json::object();
  std::string data_;
};

}  // namespace barista
