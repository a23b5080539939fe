#include "server/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/text/support.h"

namespace barista {
namespace {

using ::testing::HasSubstr;

TEST(TokenizerTest, IdsAndTextEqualThePythonPackages) {
  for (const nlohmann::json& row : nlohmann::json::parse(ReadFileOrDie(DataPath("golden")))) {
    const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie(row["tokenizer"]);
    const std::vector<int32_t> ids = row["ids"];
    const std::string text = row["text"];
    const absl::StatusOr<std::vector<int32_t>> encoded = tokenizer->Encode(text);
    ASSERT_TRUE(encoded.ok()) << encoded.status();
    EXPECT_EQ(*encoded, ids) << row["tokenizer"] << ": " << text;
    EXPECT_EQ(tokenizer->Decode(ids), row["decoded"].get<std::string>()) << row["tokenizer"];
  }
}

TEST(TokenizerTest, RawBytesHaveTheByteAsId) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(*tokenizer->TokenBytes(byte), std::string(1, static_cast<char>(byte)));
  }
  EXPECT_EQ(*tokenizer->Encode("a\xC3\xA9"), (std::vector<int32_t>{0x61, 0xC3, 0xA9}));
  EXPECT_EQ(tokenizer->vocab_size(), 260U);
  EXPECT_EQ(tokenizer->TokenId("<eos>"), 259);
  EXPECT_EQ(tokenizer->TokenId("<none>"), std::nullopt);
}

TEST(TokenizerTest, InvalidUtf8IsRefusedWithItsOffset) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  const absl::Status status = tokenizer->Encode("latte \xE2\x98").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "text is not valid UTF-8 at byte 6 of 8");
}

TEST(TokenizerTest, IdsWithoutATokenAreErrorsAndDecodeToNothing) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  for (const int32_t id : {-1, std::numeric_limits<int32_t>::min(), 260, std::numeric_limits<int32_t>::max()}) {
    EXPECT_EQ(tokenizer->TokenBytes(id).status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(tokenizer->Decode({97, id, 98}), "ab");
    const absl::Status status = tokenizer->CheckIds({97, id});
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_THAT(std::string(status.message()), HasSubstr("position 1: token id " + std::to_string(id)));
    EXPECT_THAT(std::string(status.message()), HasSubstr("largest id is 259"));
  }
  EXPECT_TRUE(tokenizer->CheckIds({0, 259}).ok());
  EXPECT_TRUE(tokenizer->CheckIds({}).ok());
}

TEST(TokenizerTest, SpecialTokensAreReadButNotWritten) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  const std::vector<int32_t> ids = *tokenizer->Encode("a<|endoftext|>b");
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_EQ(ids[1], 0);
  EXPECT_EQ(tokenizer->Decode(ids), "ab");
  EXPECT_EQ(*tokenizer->TokenBytes(0), "<|endoftext|>");
}

TEST(TokenizerTest, TruncationAndPaddingOfTheFileAreIgnored) {
  nlohmann::json json = nlohmann::json::parse(ReadFileOrDie(DataPath("bytes")));
  json["truncation"] = {{"direction", "Right"}, {"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  json["padding"] = {{"strategy", {{"Fixed", 16}}},
                     {"direction", "Right"},
                     {"pad_to_multiple_of", nullptr},
                     {"pad_id", 256},
                     {"pad_type_id", 0},
                     {"pad_token", "<pad>"}};
  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::FromJson(json.dump());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->Encode("espresso")->size(), 8U);
}

TEST(TokenizerTest, ThreadsShareOneTokenizer) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  const std::string text = "The barista pours a latte \xE2\x98\x95, twice.";
  const std::vector<int32_t> expected = *tokenizer->Encode(text);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) {
        if (*tokenizer->Encode(text) != expected || tokenizer->Decode(expected) != text) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(TokenizerTest, ALongRunOfOneCharacterIsEncoded) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  const std::string text(1 << 20, 'a');
  EXPECT_EQ(tokenizer->Decode(*tokenizer->Encode(text)), text);
}

}  // namespace
}  // namespace barista
