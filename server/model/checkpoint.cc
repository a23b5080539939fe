#include "server/model/checkpoint.h"

#include <openssl/evp.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/model/shard_index.h"
#include "server/model/strict_json.h"
#include "server/model/tensor_names.h"

namespace barista {
namespace {

constexpr size_t kMaxJsonFileBytes = 1 << 20;
constexpr size_t kMaxProblemsShown = 10;

using TensorsByName = absl::flat_hash_map<absl::string_view, const HostTensor*>;

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const auto file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  const auto bytes = (*file)->bytes();
  if (bytes.size() > kMaxJsonFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", bytes.size(), " bytes; the limit is ", kMaxJsonFileBytes));
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// "[num_key_value_heads*head_dim, hidden_size] = [64, 64]"
std::string ExpectedShape(const TensorSpec& spec) {
  return absl::StrCat(spec.shape_words, " = [", absl::StrJoin(spec.shape, ", "), "]");
}

// Why a tensor that the config does not ask for is not asked for, where one key of the config explains it.
absl::string_view WhyUnexpected(absl::string_view name, const ModelConfig& config) {
  if (name != "lm_head.weight" && name != "lm_head.bias") return "";
  if (config.task == Task::kClassification) return " (task is classification, which has score.*)";
  return config.tie_word_embeddings ? " (tie_word_embeddings is true)" : "";
}

// The tensors must be those the config asks for, with their shapes; every problem is counted, the first ones are named.
absl::Status CheckTensors(const ModelConfig& config, const std::vector<SafetensorsFile>& files,
                          const TensorsByName& tensors, absl::string_view directory) {
  std::vector<std::string> problems;
  absl::flat_hash_set<std::string> expected;
  for (const TensorSpec& spec : ExpectedTensors(config)) {
    expected.insert(spec.name);
    const auto it = tensors.find(spec.name);
    if (it == tensors.end()) {
      if (spec.required) problems.push_back(absl::StrCat(spec.name, " is missing, ", ExpectedShape(spec)));
      continue;
    }
    if (it->second->shape != spec.shape) {
      problems.push_back(absl::StrCat(spec.name, " has shape [", absl::StrJoin(it->second->shape, ", "), "], expected ",
                                      ExpectedShape(spec)));
    }
    if (!spec.needs.empty() && !tensors.contains(spec.needs)) {
      problems.push_back(absl::StrCat(spec.needs, " is missing beside ", spec.name));
    }
  }
  for (const SafetensorsFile& file : files) {
    for (const HostTensor& tensor : file.tensors()) {
      if (expected.contains(tensor.name)) continue;
      problems.push_back(absl::StrCat("unknown tensor ", Quoted(tensor.name), WhyUnexpected(tensor.name, config)));
    }
  }
  if (problems.empty()) return absl::OkStatus();
  const size_t count = problems.size();
  if (count > kMaxProblemsShown) {
    problems.resize(kMaxProblemsShown);
    problems.push_back(absl::StrCat("and ", count - kMaxProblemsShown, " more"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(directory, ": the tensors do not match config.json, ", count,
                   count == 1 ? " problem: " : " problems: ", absl::StrJoin(problems, "; ")));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& directory) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return std::filesystem::exists(directory, error)
               ? absl::InvalidArgumentError(absl::StrCat(directory, ": not a directory"))
               : absl::NotFoundError(absl::StrCat(directory, ": no such directory"));
  }
  auto checkpoint = std::unique_ptr<Checkpoint>(new Checkpoint());
  checkpoint->directory_ = directory;

  const std::string config_path = directory + "/config.json";
  auto config_json = ReadSmallFile(config_path);
  if (!config_json.ok()) return config_json.status();
  auto config = ParseModelConfig(*config_json, config_path);
  if (!config.ok()) return config.status();
  checkpoint->config_json_ = *std::move(config_json);
  checkpoint->config_ = *std::move(config);

  const std::string generation_path = directory + "/generation_config.json";
  if (std::filesystem::exists(generation_path, error)) {
    const auto json = ReadSmallFile(generation_path);
    if (!json.ok()) return json.status();
    auto defaults = ParseGenerationDefaults(*json, generation_path, checkpoint->config_.vocab_size);
    if (!defaults.ok()) return defaults.status();
    checkpoint->generation_defaults_ = *std::move(defaults);
  }
  const std::string tokenizer_path = directory + "/tokenizer.json";
  if (std::filesystem::exists(tokenizer_path, error)) checkpoint->tokenizer_path_ = tokenizer_path;

  auto files = OpenWeightFiles(directory);
  if (!files.ok()) return files.status();
  checkpoint->files_ = *std::move(files);
  for (const SafetensorsFile& file : checkpoint->files_) {
    for (const HostTensor& tensor : file.tensors()) checkpoint->by_name_.emplace(tensor.name, &tensor);
  }
  auto status = CheckTensors(checkpoint->config_, checkpoint->files_, checkpoint->by_name_, directory);
  if (!status.ok()) return status;
  return checkpoint;
}

const HostTensor* Checkpoint::find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

std::string Checkpoint::fingerprint() const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  // Each part is preceded by its length, so that no two lists of parts read the same.
  const auto add = [&context](const void* data, uint64_t size) {
    EVP_DigestUpdate(context.get(), &size, sizeof(size));
    EVP_DigestUpdate(context.get(), data, size);
  };
  add(config_json_.data(), config_json_.size());
  for (const SafetensorsFile& file : files_) add(file.file().bytes().data(), file.file().bytes().size());
  std::string digest(EVP_MD_size(EVP_sha256()), '\0');
  EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return absl::BytesToHexString(digest);
}

}  // namespace barista
