#include "server/text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "server/text/utf8.h"
#include "tests/text/support.h"

namespace barista {
namespace {

std::vector<int32_t> IdsOfBytes(std::string_view bytes) {
  std::vector<int32_t> ids;
  for (const char c : bytes) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

void ExpectWholeCharacters(const std::vector<std::string>& pieces) {
  for (const std::string& piece : pieces) EXPECT_EQ(FirstInvalidUtf8(piece), std::string_view::npos);
}

TEST(DetokenizerTest, EveryCharacterCutIntoBytesComesOutWhole) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  Detokenizer detokenizer(*tokenizer);
  for (uint32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 7) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string character = EncodeCodePoint(c);
    for (size_t i = 0; i + 1 < character.size(); ++i) {
      ASSERT_EQ(detokenizer.Push(static_cast<uint8_t>(character[i])), "");
    }
    ASSERT_EQ(detokenizer.Push(static_cast<uint8_t>(character.back())), character);
  }
  EXPECT_EQ(detokenizer.Flush(), "");
}

TEST(DetokenizerTest, AnEmojiOfSeveralCharactersComesOutCharacterByCharacter) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  const std::string family = "\U0001F469\u200D\U0001F4BB";
  const std::vector<std::string> pieces = StreamPieces(*tokenizer, IdsOfBytes(family));
  ExpectWholeCharacters(pieces);
  EXPECT_EQ(pieces[3], "\U0001F469");
  EXPECT_EQ(Joined(pieces), family);
}

TEST(DetokenizerTest, AnUnfinishedCharacterBecomesOneReplacementAtTheFlush) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  EXPECT_EQ(StreamPieces(*tokenizer, IdsOfBytes("a\xF0\x9F\x99")),
            (std::vector<std::string>{"a", "", "", "", "\uFFFD"}));
}

TEST(DetokenizerTest, AReplacementCharacterInTheTextHoldsNothing) {
  const std::unique_ptr<Tokenizer> bytes = LoadOrDie("bytes");
  EXPECT_EQ(StreamPieces(*bytes, IdsOfBytes("\uFFFDx")), (std::vector<std::string>{"", "", "\uFFFD", "x", ""}));
  const std::unique_ptr<Tokenizer> chars = LoadOrDie("chars");
  const std::vector<int32_t> ids = *chars->Encode("\uFFFD\uFFFDx");
  EXPECT_EQ(StreamPieces(*chars, ids), (std::vector<std::string>{"\uFFFD", "\uFFFD", "x", ""}));
}

TEST(DetokenizerTest, ByteThatCannotContinueIsReplacedAtOnce) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  EXPECT_EQ(StreamPieces(*tokenizer, {0xFF, 0xE2, 0x82, 0x41}), (std::vector<std::string>{"\uFFFD", "", "",
                                                                                          "\uFFFD"
                                                                                          "A",
                                                                                          ""}));
  Detokenizer detokenizer(*tokenizer);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(detokenizer.Push(0x80), "\uFFFD");
}

TEST(DetokenizerTest, PendingBytesAreAtMostThree) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  std::mt19937 random(1);
  Detokenizer detokenizer(*tokenizer);
  for (int i = 0; i < 100000; ++i) {
    detokenizer.Push(static_cast<int32_t>(random() % tokenizer->vocab_size()));
    ASSERT_LE(detokenizer.state().pending.size(), 3U);
  }
}

// The rule that makes streaming exact, against the library's own decoding of the whole. Random ids are mostly no valid
// UTF-8, and include special tokens and ids that do not exist.
TEST(DetokenizerTest, StreamedTextEqualsTheLibrarysForRandomIds) {
  for (const char* name : {"bytes", "byte_bpe", "chars", "word_piece"}) {
    const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie(name);
    const LibraryDecoder library(name);
    std::mt19937 random(2);
    for (int round = 0; round < 2000; ++round) {
      std::vector<int32_t> ids(random() % 40);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % (tokenizer->vocab_size() + 3));
      const std::vector<std::string> pieces = StreamPieces(*tokenizer, ids);
      ExpectWholeCharacters(pieces);
      ASSERT_EQ(Joined(pieces), library.Decode(ids)) << name << ' ' << testing::PrintToString(ids);
      ASSERT_EQ(Joined(pieces), tokenizer->Decode(ids));
    }
  }
}

// With byte-fallback tokens the library replaces a whole run of byte tokens where one of them is wrong, which no stream
// can know in time; runs that are valid UTF-8 agree.
TEST(DetokenizerTest, StreamedTextEqualsTheLibrarysForByteFallbackWithValidRuns) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_fallback");
  const LibraryDecoder library("byte_fallback");
  const int32_t byte_zero = *tokenizer->TokenId("<0x00>");
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<int32_t> ids;
    for (size_t i = 0, count = random() % 20; i < count; ++i) {
      if (random() % 2 == 0) {
        ids.push_back(static_cast<int32_t>(257 + random() % (tokenizer->vocab_size() - 257)));
        continue;
      }
      const uint32_t limits[] = {0x80, 0x800, 0xD800, 0x110000};
      const uint32_t limit = limits[random() % 4];
      const uint32_t c = limit == 0x110000 ? 0x10000 + random() % 0x100000 : random() % limit;
      for (const int32_t byte : IdsOfBytes(EncodeCodePoint(c))) ids.push_back(byte_zero + byte);
    }
    const std::vector<std::string> pieces = StreamPieces(*tokenizer, ids);
    ExpectWholeCharacters(pieces);
    ASSERT_EQ(Joined(pieces), library.Decode(ids)) << testing::PrintToString(ids);
  }
}

TEST(DetokenizerTest, RandomByteFallbackIdsStreamAsTheyDecode) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_fallback");
  std::mt19937 random(4);
  for (int round = 0; round < 2000; ++round) {
    std::vector<int32_t> ids(random() % 40);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % tokenizer->vocab_size());
    const std::vector<std::string> pieces = StreamPieces(*tokenizer, ids);
    ExpectWholeCharacters(pieces);
    ASSERT_EQ(Joined(pieces), tokenizer->Decode(ids));
  }
}

TEST(DetokenizerTest, TheFirstTokenAloneLosesItsLeadingSpace) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_fallback");
  const int32_t milk = *tokenizer->TokenId("\u2581milk");
  const int32_t begin = *tokenizer->TokenId("<s>");
  EXPECT_EQ(StreamPieces(*tokenizer, {begin, milk, begin, milk}),
            (std::vector<std::string>{"", "milk", "", " milk", ""}));
}

TEST(DetokenizerTest, AStreamContinuedFromItsStateIsTheSameStream) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  std::mt19937 random(5);
  std::vector<int32_t> ids(500);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % tokenizer->vocab_size());
  DetokenizerState state;
  std::string text;
  for (const int32_t id : ids) {
    Detokenizer continued(*tokenizer, state);
    text += continued.Push(id);
    state = continued.state();
  }
  text += Detokenizer(*tokenizer, state).Flush();
  EXPECT_EQ(text, tokenizer->Decode(ids));
}

TEST(DetokenizerTest, AFlushedStreamStartsAfresh) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_fallback");
  const int32_t milk = *tokenizer->TokenId("\u2581milk");
  Detokenizer detokenizer(*tokenizer);
  EXPECT_EQ(detokenizer.Push(milk), "milk");
  EXPECT_EQ(detokenizer.Flush(), "");
  EXPECT_EQ(detokenizer.Push(milk), "milk");
}

}  // namespace
}  // namespace barista
