// How a long text is cut.
#include "clients/cli/piece_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <sstream>
#include <vector>

namespace barista::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr size_t kFull = PieceReader::kPieceBytes;

std::vector<std::string> Pieces(const std::string& text, PieceReader::Cut cut) {
  std::istringstream in(text);
  Io io{.in = in, .out = std::cout, .err = std::cerr};
  auto reader = PieceReader::Open("-", cut, io);
  EXPECT_TRUE(reader.ok());
  std::vector<std::string> pieces;
  while (true) {
    absl::StatusOr<std::string> piece = (*reader)->Next();
    EXPECT_TRUE(piece.ok());
    if (!piece.ok() || piece->empty()) return pieces;
    pieces.push_back(*piece);
  }
}

TEST(TextCutTest, EndsAfterTheLastLineBreakOfTheLastQuarter) {
  EXPECT_EQ(TextCut("abc\nef gh\nij k."), 13u);  // too early a line break: after the space
  EXPECT_EQ(TextCut("abcdefghijkl\nn p"), 13u);
  EXPECT_EQ(TextCut("abcdefghijkl\n\np "), 14u);
  EXPECT_EQ(TextCut("abcdefghijklmno\n"), 16u);
}

TEST(TextCutTest, EndsAfterASpaceWhereNoLineBreakIs) {
  EXPECT_EQ(TextCut("abcdefghijk\nm op"), 14u);
  EXPECT_EQ(TextCut("abcdefghijk mnop"), 16u);
}

TEST(TextCutTest, SplitsNoCharacter) {
  for (const std::string character : {"\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    for (size_t have = 1; have <= character.size(); ++have) {
      const std::string text = "abcdefghijkl" + character.substr(0, have);
      EXPECT_EQ(TextCut(text), have == character.size() ? text.size() : 12u) << have;
    }
  }
}

TEST(TextCutTest, CutsAtTheEndOfWhatIsNoText) {
  EXPECT_EQ(TextCut(std::string(16, '\x80')), 16u);
  EXPECT_EQ(TextCut("\xE2\xE2\xE2\xE2"), 3u);
}

TEST(PieceReaderTest, PiecesJoinToTheTextAndSplitNoCharacter) {
  std::string text = "a";
  while (text.size() < 3 * kFull) text += "\xE2\x82\xAC";
  const std::vector<std::string> pieces = Pieces(text, PieceReader::Cut::kText);
  std::string joined;
  for (const std::string& piece : pieces) {
    EXPECT_LE(piece.size(), kFull);
    EXPECT_TRUE(piece.back() == '\xAC');
    joined += piece;
  }
  EXPECT_TRUE(joined == text);
}

TEST(PieceReaderTest, TextThatFitsIsNotCut) {
  EXPECT_THAT(Pieces("two\nlines", PieceReader::Cut::kText), ElementsAre("two\nlines"));
  EXPECT_THAT(Pieces(std::string(kFull - 2, 'x') + "\nx", PieceReader::Cut::kText), ElementsAre(SizeIs(kFull)));
  EXPECT_THAT(Pieces("", PieceReader::Cut::kText), IsEmpty());
}

TEST(PieceReaderTest, BytesAreCutAnywhere) {
  EXPECT_THAT(Pieces(std::string(2 * kFull + 1, '\n'), PieceReader::Cut::kAnywhere),
              ElementsAre(SizeIs(kFull), SizeIs(kFull), SizeIs(1)));
}

}  // namespace
}  // namespace barista::cli
