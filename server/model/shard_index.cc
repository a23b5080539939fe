#include "server/model/shard_index.h"

#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/model/strict_json.h"

namespace barista {
namespace {

using nlohmann::json;

constexpr size_t kMaxIndexBytes = 16 << 20;
constexpr size_t kMaxShards = 4096;

using ShardTensors = std::map<std::string, std::set<std::string>>;  // shard file name -> its tensors

bool IsPlainFileName(absl::string_view name) {
  return absl::EndsWith(name, ".safetensors") && name[0] != '.' && name.size() <= 255 &&
         name.find_first_of(absl::string_view("/\\\0", 3)) == name.npos;
}

absl::StatusOr<ShardTensors> ReadIndex(const std::string& path) {
  const auto invalid = [&path](auto... words) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", words...));
  };
  const auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  const auto bytes = (*file)->bytes();
  if (bytes.size() > kMaxIndexBytes) return invalid(bytes.size(), " bytes; the limit is ", kMaxIndexBytes);
  const auto index = ParseStrictJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
  if (!index.ok()) return index.status();
  if (!index->is_object()) return invalid("must hold a JSON object");
  for (const auto& [key, unused] : index->items()) {
    if (key != "metadata" && key != "weight_map") return invalid("unknown key ", Quoted(key));
  }
  const auto map = index->find("weight_map");
  if (map == index->end()) return invalid("weight_map is missing");
  if (!map->is_object() || map->empty()) return invalid("weight_map must map tensor names to file names");

  ShardTensors shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return invalid("weight_map places ", Quoted(tensor), " in ", Shown(shard),
                     "; must be the name of a .safetensors file in the same directory");
    }
    shards[shard.get<std::string>()].insert(tensor);
  }
  if (shards.size() > kMaxShards) return invalid("names ", shards.size(), " files; the limit is ", kMaxShards);
  return shards;
}

// Opens one shard and compares what it holds with the tensors the index places in it.
absl::StatusOr<SafetensorsFile> OpenShard(const std::string& path, std::set<std::string> placed) {
  auto file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  for (const HostTensor& tensor : file->tensors()) {
    if (placed.erase(tensor.name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": holds tensor ", Quoted(tensor.name), ", which weight_map does not place there"));
    }
  }
  if (placed.empty()) return file;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": tensor ", Quoted(*placed.begin()), " is missing, which weight_map places there"));
}

}  // namespace

absl::StatusOr<std::vector<SafetensorsFile>> OpenWeightFiles(const std::string& directory) {
  const std::string single = directory + "/model.safetensors", index = single + ".index.json";
  std::error_code ignored;  // what cannot be looked at does not exist, and opening it says why
  const bool has_single = std::filesystem::exists(single, ignored), has_index = std::filesystem::exists(index, ignored);
  if (has_single && has_index) {
    return absl::InvalidArgumentError(absl::StrCat(directory, ": has both model.safetensors and ",
                                                   "model.safetensors.index.json; keep the one that is meant"));
  }
  std::vector<SafetensorsFile> files;
  if (!has_index) {
    auto file = SafetensorsFile::Open(single);
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
    return files;
  }
  auto shards = ReadIndex(index);
  if (!shards.ok()) return shards.status();
  for (auto& [name, tensors] : *shards) {
    auto file = OpenShard(absl::StrCat(directory, "/", name), std::move(tensors));
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
  }
  return files;
}

}  // namespace barista
