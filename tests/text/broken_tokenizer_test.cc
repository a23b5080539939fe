// Broken tokenizer.json files: each a precise error, none a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "server/text/tokenizer.h"
#include "tests/text/support.h"

namespace barista {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ErrorOf(const std::string& bytes) {
  const absl::Status status = Tokenizer::FromJson(bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith("not a usable tokenizer.json: "));
  return std::string(status.message());
}

std::string ErrorWithDecoder(const json& decoder) {
  json file = json::parse(ReadFileOrDie(DataPath("chars")));
  file["decoder"] = decoder;
  return ErrorOf(file.dump());
}

TEST(BrokenTokenizerTest, EveryTruncationIsRefused) {
  const std::string bytes = ReadFileOrDie(DataPath("chars"));
  for (size_t size = 0; size + 2 < bytes.size(); ++size) ErrorOf(bytes.substr(0, size));
}

TEST(BrokenTokenizerTest, WrongTypesAndMissingPartsAreNamed) {
  ErrorOf("null");
  ErrorOf("[]");
  ErrorOf("{}");
  ErrorOf("\"text\"");
  ErrorOf(std::string("\0\0\0\0", 4));
  const json good = json::parse(ReadFileOrDie(DataPath("byte_bpe")));
  for (const char* key : {"model", "added_tokens", "pre_tokenizer", "decoder", "version", "truncation"}) {
    json file = good;
    file[key] = 5;
    ErrorOf(file.dump());
  }
  json file = good;
  file["model"]["vocab"] = {{"a", -1}};
  ErrorOf(file.dump());
  file["model"]["vocab"] = {{"a", 0}};
  EXPECT_THAT(ErrorOf(file.dump()), HasSubstr("out of vocabulary"));
  file["model"]["type"] = "Telepathy";
  ErrorOf(file.dump());
}

TEST(BrokenTokenizerTest, AnEmptyVocabularyIsRefused) {
  json file = json::parse(ReadFileOrDie(DataPath("chars")));
  file["model"]["vocab"] = json::object();
  EXPECT_THAT(ErrorOf(file.dump()), HasSubstr("vocabulary is empty"));
}

TEST(BrokenTokenizerTest, AnAbsurdIdIsRefusedWithTheLimit) {
  json file = json::parse(ReadFileOrDie(DataPath("chars")));
  file["model"]["vocab"]["a"] = 4000000000U;
  EXPECT_THAT(ErrorOf(file.dump()), HasSubstr("token id 4000000000 is out of range: the limit is 4194303"));
}

TEST(BrokenTokenizerTest, HugeNestingIsRefused) {
  EXPECT_THAT(ErrorOf("{\"decoder\": " + std::string(1000000, '[')), HasSubstr("recursion limit"));
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"decoder\":";
  ErrorOf(objects);
  json decoder = {{"type", "Fuse"}};
  for (int i = 0; i < 500; ++i) decoder = {{"type", "Sequence"}, {"decoders", json::array({decoder})}};
  EXPECT_THAT(ErrorWithDecoder(decoder), HasSubstr("recursion limit"));
}

TEST(BrokenTokenizerTest, DecodersThatLookAheadAreRefusedByName) {
  EXPECT_THAT(ErrorWithDecoder({{"type", "BPEDecoder"}, {"suffix", "</w>"}}), HasSubstr("decoder BPE"));
  EXPECT_THAT(
      ErrorWithDecoder({{"type", "CTC"}, {"pad_token", "<p>"}, {"word_delimiter_token", "|"}, {"cleanup", true}}),
      HasSubstr("decoder CTC"));
  const json fuse = {{"type", "Fuse"}};
  const json strip_end = {{"type", "Strip"}, {"content", " "}, {"start", 0}, {"stop", 1}};
  EXPECT_THAT(ErrorWithDecoder({{"type", "Sequence"}, {"decoders", {fuse, strip_end}}}), HasSubstr("decoder Strip"));
}

TEST(BrokenTokenizerTest, RandomEncodingIsRefused) {
  json file = json::parse(ReadFileOrDie(DataPath("byte_bpe")));
  file["model"]["dropout"] = 0.5;
  EXPECT_THAT(ErrorOf(file.dump()), HasSubstr("model.dropout 0.5"));
}

// Two places where the library panics: one in reading, one in decoding.
TEST(BrokenTokenizerTest, APanicOfTheLibraryIsAnErrorWithItsPlace) {
  json file = json::parse(ReadFileOrDie(DataPath("chars")));
  file["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", 5}};
  EXPECT_THAT(ErrorOf(file.dump()), HasSubstr("panicked at mod.rs:"));
  const json no_a = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", ""}};
  const json strip_end = {{"type", "Strip"}, {"content", " "}, {"start", 0}, {"stop", 1}};
  EXPECT_THAT(ErrorWithDecoder({{"type", "Sequence"}, {"decoders", {no_a, strip_end}}}),
              HasSubstr("panicked at strip.rs:"));
  EXPECT_EQ(LoadOrDie("chars")->Decode(*LoadOrDie("chars")->Encode("still here")), "still here");
}

TEST(BrokenTokenizerTest, FileErrorsNameThePathAndTheReason) {
  const auto error = [](const std::string& path) { return Tokenizer::Load(path).status(); };
  EXPECT_EQ(error("no/tokenizer.json").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(error("no/tokenizer.json").message(), "no/tokenizer.json: no such file");
  EXPECT_EQ(error("tests").message(), "tests: not a file");
  const std::string path = testing::TempDir() + "broken_tokenizer.json";
  std::ofstream(path) << "{\"version\": \"1.0\"";
  EXPECT_EQ(error(path).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(error(path).message()),
              StartsWith(path + ": not a usable tokenizer.json: EOF while parsing"));
  std::filesystem::resize_file(path, Tokenizer::kFileBytesMax + 1);  // sparse
  EXPECT_EQ(error(path).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(error(path).message()), HasSubstr("268435457 bytes, the limit is 268435456"));
  std::filesystem::remove(path);
}

TEST(BrokenTokenizerTest, RandomDamageGivesAnErrorOrATokenizerThatWorks) {
  std::mt19937 random(7);
  for (const char* name : {"chars", "word_piece", "byte_fallback"}) {
    const std::string good = ReadFileOrDie(DataPath(name));
    for (int round = 0; round < 300; ++round) {
      std::string bytes = good;
      for (int i = 0; i < 2; ++i) bytes[random() % bytes.size()] = static_cast<char>(0x20 + random() % 0x5F);
      const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::FromJson(bytes);
      if (!tokenizer.ok()) continue;
      const absl::StatusOr<std::vector<int32_t>> ids = (*tokenizer)->Encode("milk, a latte \xE2\x98\x95");
      if (ids.ok()) (*tokenizer)->Decode(*ids);
    }
  }
}

}  // namespace
}  // namespace barista
