#include "server/text/text_stream.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/text/support.h"

namespace barista {
namespace {

std::shared_ptr<const StopStrings> Stops(const std::vector<std::string>& strings) {
  return std::make_shared<const StopStrings>(*StopStrings::Create(strings));
}

TEST(TextStreamTest, AStopStringAcrossTokensEndsTheText) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  TextStream stream(*tokenizer, Stops({"never", "\u2615!"}));
  std::string text;
  int stopped_at = -1;
  const std::string input = "a cup \u2615! more";
  for (size_t i = 0; i < input.size(); ++i) {
    const TextStream::Output output = stream.Push(static_cast<uint8_t>(input[i]));
    text += output.text;
    if (output.stopped && stopped_at < 0) stopped_at = static_cast<int>(i);
    EXPECT_EQ(output.stop_index, output.stopped ? 1 : -1);
  }
  EXPECT_EQ(text, "a cup ");
  EXPECT_EQ(stopped_at, 9);
  EXPECT_EQ(stream.Flush().text, "");
  EXPECT_TRUE(stream.Flush().stopped);
}

TEST(TextStreamTest, OneTokenMayHoldTextBeforeAndAfterTheStop) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  const std::vector<int32_t> ids = *tokenizer->Encode(" espresso");
  ASSERT_EQ(ids.size(), 1U);
  TextStream stream(*tokenizer, Stops({"press"}));
  const TextStream::Output output = stream.Push(ids[0]);
  EXPECT_TRUE(output.stopped);
  EXPECT_EQ(output.text, " es");
}

TEST(TextStreamTest, TheFlushGivesHeldTextAndUnfinishedCharactersBack) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  TextStream stream(*tokenizer, Stops({"ab!"}));
  EXPECT_EQ(stream.Push('a').text, "");
  EXPECT_EQ(stream.Push('b').text, "");
  EXPECT_EQ(stream.Push(0xE2).text, "");
  const TextStream::Output output = stream.Flush();
  EXPECT_EQ(output.text, "ab\uFFFD");
  EXPECT_FALSE(output.stopped);
}

TEST(TextStreamTest, TheFlushMayCompleteAStopString) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  TextStream stream(*tokenizer, Stops({"a\uFFFD"}));
  stream.Push('a');
  stream.Push(0xE2);
  const TextStream::Output output = stream.Flush();
  EXPECT_TRUE(output.stopped);
  EXPECT_EQ(output.text, "");
}

TEST(TextStreamTest, WithoutStopsTheTextIsTheDecodedText) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("byte_bpe");
  std::mt19937 random(21);
  std::vector<int32_t> ids(1000);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % tokenizer->vocab_size());
  TextStream stream(*tokenizer, std::make_shared<const StopStrings>());
  std::string text;
  for (const int32_t id : ids) text += stream.Push(id).text;
  EXPECT_EQ(text + stream.Flush().text, tokenizer->Decode(ids));
}

TEST(TextStreamTest, AStreamContinuedFromItsStateIsTheSameStream) {
  const std::unique_ptr<Tokenizer> tokenizer = LoadOrDie("bytes");
  const std::shared_ptr<const StopStrings> stops = Stops({"\u2615\u2615!", "x\u2615y"});
  const std::string input = "a\u2615\u2615x\u2615\u2615\u2615!b";
  TextStreamState state;
  std::string text;
  bool stopped = false;
  for (const char byte : input) {
    if (stopped) break;
    TextStream stream(*tokenizer, stops, state);
    const TextStream::Output output = stream.Push(static_cast<uint8_t>(byte));
    text += output.text;
    stopped = output.stopped;
    state = stream.state();
  }
  EXPECT_TRUE(stopped);
  EXPECT_EQ(text, "a\u2615\u2615x\u2615");
}

}  // namespace
}  // namespace barista
