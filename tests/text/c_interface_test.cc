// Every function of the Rust crate's C header, called as the header says.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "server/text/barista_text/barista_text.h"
#include "tests/text/support.h"

namespace barista {
namespace {

const uint8_t* BytesOf(const std::string& text) { return reinterpret_cast<const uint8_t*>(text.data()); }

std::string Taken(barista_text_string text) {
  std::string result(reinterpret_cast<const char*>(text.data), text.size);
  barista_text_string_free(text);
  return result;
}

TEST(CInterfaceTest, EveryFunctionKeepsItsContract) {
  const std::string json = ReadFileOrDie(DataPath("byte_bpe"));
  barista_text_tokenizer* tokenizer = nullptr;
  ASSERT_EQ(barista_text_create(BytesOf(json), json.size(), &tokenizer).data, nullptr);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(barista_text_vocab_size(tokenizer), 635U);

  const std::string text = "a latte<|endoftext|>\xE2\x98\x95";
  barista_text_ids ids = {};
  ASSERT_EQ(barista_text_encode(tokenizer, BytesOf(text), text.size(), false, &ids).data, nullptr);
  barista_text_string decoded = {};
  ASSERT_EQ(barista_text_decode(tokenizer, ids.data, ids.size, false, &decoded).data, nullptr);
  EXPECT_EQ(Taken(decoded), text);
  ASSERT_EQ(barista_text_decode(tokenizer, ids.data, ids.size, true, &decoded).data, nullptr);
  EXPECT_EQ(Taken(decoded), "a latte\xE2\x98\x95");
  barista_text_ids_free(ids);

  const std::string special = "<|endoftext|>";
  uint32_t id = 99;
  EXPECT_TRUE(barista_text_token_to_id(tokenizer, BytesOf(special), special.size(), &id));
  EXPECT_EQ(id, 0U);
  const std::string absent = "no such token";
  EXPECT_FALSE(barista_text_token_to_id(tokenizer, BytesOf(absent), absent.size(), &id));

  barista_text_piece_view piece = {};
  ASSERT_TRUE(barista_text_piece(tokenizer, 0, &piece));
  EXPECT_TRUE(piece.special);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(piece.first), piece.first_size), special);
  ASSERT_TRUE(barista_text_piece(tokenizer, 634, &piece));
  EXPECT_FALSE(piece.special);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(piece.next), piece.next_size), "<tool \xE2\x98\x95>");
  EXPECT_FALSE(barista_text_piece(tokenizer, 635, &piece));
  EXPECT_FALSE(barista_text_piece(tokenizer, UINT32_MAX, &piece));
  barista_text_destroy(tokenizer);
}

TEST(CInterfaceTest, NullIsAllowedWhereTheSizeIsZero) {
  const std::string json = ReadFileOrDie(DataPath("bytes"));
  barista_text_tokenizer* tokenizer = nullptr;
  EXPECT_NE(Taken(barista_text_create(nullptr, 0, &tokenizer)), "");
  EXPECT_EQ(tokenizer, nullptr);
  ASSERT_EQ(barista_text_create(BytesOf(json), json.size(), &tokenizer).data, nullptr);
  barista_text_ids ids = {};
  ASSERT_EQ(barista_text_encode(tokenizer, nullptr, 0, true, &ids).data, nullptr);
  EXPECT_EQ(ids.size, 0U);
  barista_text_ids_free(ids);
  barista_text_string decoded = {};
  ASSERT_EQ(barista_text_decode(tokenizer, nullptr, 0, true, &decoded).data, nullptr);
  EXPECT_EQ(Taken(decoded), "");
  uint32_t id = 0;
  EXPECT_FALSE(barista_text_token_to_id(tokenizer, nullptr, 0, &id));
  barista_text_destroy(tokenizer);
  barista_text_destroy(nullptr);
  barista_text_string_free({});
  barista_text_ids_free({});
}

TEST(CInterfaceTest, BytesThatAreNotUtf8AreAnErrorText) {
  const std::string json = ReadFileOrDie(DataPath("bytes"));
  barista_text_tokenizer* tokenizer = nullptr;
  ASSERT_EQ(barista_text_create(BytesOf(json), json.size(), &tokenizer).data, nullptr);
  const std::string text = "ab\xFF";
  barista_text_ids ids = {};
  EXPECT_NE(Taken(barista_text_encode(tokenizer, BytesOf(text), text.size(), false, &ids)), "");
  EXPECT_EQ(ids.data, nullptr);
  uint32_t id = 0;
  EXPECT_FALSE(barista_text_token_to_id(tokenizer, BytesOf(text), text.size(), &id));
  barista_text_destroy(tokenizer);
}

}  // namespace
}  // namespace barista
