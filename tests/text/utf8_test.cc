#include "server/text/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>

#include "tests/text/support.h"

namespace barista {
namespace {

constexpr size_t kValid = std::string_view::npos;

std::string Bytes(std::initializer_list<int> bytes) { return std::string(bytes.begin(), bytes.end()); }

TEST(Utf8Test, EveryCodePointIsValidAndEverySurrogateIsNot) {
  for (uint32_t c = 0; c <= 0x110010; ++c) {
    const bool valid = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    ASSERT_EQ(FirstInvalidUtf8(EncodeCodePoint(c)), valid ? kValid : 0) << std::hex << c;
  }
}

// A sequence is one character exactly where the encoder makes it from a valid code point.
TEST(Utf8Test, NoOtherSequenceOfUpToThreeBytesIsACharacter) {
  std::set<std::string> characters;
  for (uint32_t c = 0; c <= 0xFFFF; ++c) {
    if (c < 0xD800 || c > 0xDFFF) characters.insert(EncodeCodePoint(c));
  }
  const auto check = [&](const std::string& bytes) {
    const Utf8Unit unit = NextUtf8Unit(bytes);
    const bool whole = unit.kind == Utf8Unit::Kind::kCharacter && unit.size == bytes.size();
    ASSERT_EQ(whole, characters.contains(bytes)) << testing::PrintToString(bytes);
  };
  for (int a = 0; a < 256; ++a) {
    check(Bytes({a}));
    for (int b = 0; b < 256; ++b) {
      check(Bytes({a, b}));
      if (a < 0xC0) continue;
      for (int c = 0x70; c < 0xD0; ++c) check(Bytes({a, b, c}));
    }
  }
}

TEST(Utf8Test, FourByteFormsAreValidFromU10000ToU10FFFFOnly) {
  for (int a = 0xF0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const bool valid = (a == 0xF0 && b >= 0x90 && b <= 0xBF) || (a > 0xF0 && a < 0xF4 && b >= 0x80 && b <= 0xBF) ||
                         (a == 0xF4 && b >= 0x80 && b <= 0x8F);
      EXPECT_EQ(FirstInvalidUtf8(Bytes({a, b, 0x80, 0xBF})), valid ? kValid : 0) << a << ' ' << b;
      EXPECT_EQ(FirstInvalidUtf8(Bytes({a, b, 0x80, 0xC0})), 0U);
      EXPECT_EQ(FirstInvalidUtf8(Bytes({a, b, 0x7F, 0x80})), 0U);
    }
  }
}

TEST(Utf8Test, TheOffsetIsThatOfTheFirstIllFormedSequence) {
  EXPECT_EQ(FirstInvalidUtf8(""), kValid);
  EXPECT_EQ(FirstInvalidUtf8("caf\xC3\xA9"), kValid);
  EXPECT_EQ(FirstInvalidUtf8("caf\xE9"), 3U);                    // Latin-1
  EXPECT_EQ(FirstInvalidUtf8("ab\xF0\x9F\x99"), 2U);             // cut off
  EXPECT_EQ(FirstInvalidUtf8("\xC3\xA9\xC0\x80\xFF"), 2U);       // overlong NUL
  EXPECT_EQ(FirstInvalidUtf8("a\xED\xA0\xBD\xED\xB8\x80"), 1U);  // a pair of surrogates
  EXPECT_EQ(FirstInvalidUtf8("a\x80"), 1U);
  EXPECT_EQ(FirstInvalidUtf8("\xFF\xFE\x61"), 0U);
}

TEST(Utf8Test, IllFormedPartsAreMaximal) {
  const auto unit = [](std::string_view bytes) { return NextUtf8Unit(bytes); };
  EXPECT_EQ(unit("\xF0\x9F\x99 ").kind, Utf8Unit::Kind::kIllFormed);
  EXPECT_EQ(unit("\xF0\x9F\x99 ").size, 3U);
  EXPECT_EQ(unit("\xE2\x82\xE2").size, 2U);
  EXPECT_EQ(unit("\xED\xA0\x80").size, 1U);  // a surrogate never was well-formed beyond its first byte
  EXPECT_EQ(unit("\xF0\x9F\x99").kind, Utf8Unit::Kind::kIncomplete);
  EXPECT_EQ(unit("\xF0\x9F\x99").size, 3U);
}

}  // namespace
}  // namespace barista
