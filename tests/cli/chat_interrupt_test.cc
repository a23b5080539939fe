// Ctrl-C in `barista chat`: it ends the answer, not the conversation; twice, or at the prompt, it leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <streambuf>

#include "tests/cli/chat_test.h"

namespace barista::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ChatInterruptTest : public ChatTest {
 protected:
  // Ctrl-C when the first piece of the first answer has been seen.
  Result TypeAndInterrupt(const std::string& lines) {
    return RunBarista(server_, {"chat", "--session=demo"}, lines, {}, [](const std::string& out) {
      if (out == "Hel") raise(SIGINT);
    });
  }
};

TEST_F(ChatInterruptTest, InterruptIsSentAndTheNextLineIsAnswered) {
  server_.converse = [this](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_generate() && server_.converse_requests.size() == 3) {
      Write(stream, "chunk { text: 'Hel' token_ids: 1 }");
    } else if (request.has_interrupt()) {
      Write(stream, "failed { code: 1 reason: 'CANCELLED' message: 'interrupted' session_position: 10 }");
    } else {
      Answer(request, stream);
    }
    return true;
  };
  const Result result = TypeAndInterrupt("one\ntwo\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "Hel\nHello\n");
  EXPECT_THAT(result.err, ::testing::StartsWith("[interrupted; session at position 10]\n[2 tokens"));
  EXPECT_THAT(Actions(), ElementsAre("start", "append", "generate", "interrupt", "append", "generate"));
}

TEST_F(ChatInterruptTest, AnswerThatEndedFirstIsAnAnswer) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_generate()) {
      Write(stream, "chunk { text: 'Hel' token_ids: 1 }");
    } else if (request.has_interrupt()) {
      Write(stream, "generated { session_position: 10 }");
    } else {
      Answer(request, stream);
    }
    return true;
  };
  const Result result = TypeAndInterrupt("one\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("; session at position 10]\n"));
}

TEST_F(ChatInterruptTest, FailureOfAnotherKindIsToldAsOne) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_generate()) {
      Write(stream, "chunk { text: 'Hel' token_ids: 1 }");
    } else if (request.has_interrupt()) {
      Write(stream, "failed { code: 13 reason: 'NON_FINITE' message: 'not finite' }");
    } else {
      Answer(request, stream);
    }
    return true;
  };
  EXPECT_THAT(TypeAndInterrupt("one\n").err, HasSubstr("barista: INTERNAL: not finite\n  reason: NON_FINITE\n"));
}

TEST_F(ChatInterruptTest, LineThatIsBeingReadIsKeptAndNotAnswered) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_append()) {
      raise(SIGINT);
      v1::ConverseRequest interrupt;
      EXPECT_TRUE(stream.Read(&interrupt) && interrupt.has_interrupt());
    }
    Answer(request, stream);
    return true;
  };
  const Result result = RunBarista(server_, {"chat", "--session=demo"}, "one\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "[interrupted; session at position 9]\n");
  EXPECT_THAT(Actions(), ElementsAre("start", "append"));
}

TEST_F(ChatInterruptTest, TwiceWithinASecondLeaves) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_generate()) Write(stream, "chunk { text: 'Hel' token_ids: 1 }");
    if (request.has_interrupt()) raise(SIGINT);  // and no answer
    if (!request.has_generate()) Answer(request, stream);
    return true;
  };
  const Result result = TypeAndInterrupt("one\ntwo\n");
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.out, "Hel\n");
  EXPECT_EQ(result.err, "barista: interrupted\n");
}

TEST_F(ChatInterruptTest, ServerThatDoesNotStartTheStreamCanBeLeft) {
  server_.converse = [](const v1::ConverseRequest&, auto&) {
    raise(SIGINT);
    return true;
  };
  EXPECT_EQ(Type("one\n").code, 130);
}

// Standard input of somebody who presses Ctrl-C at the prompt.
class CtrlCKey final : public std::streambuf {
 protected:
  int_type underflow() override {
    raise(SIGINT);
    while (true) pause();
  }
};

void PressCtrlCAtThePrompt(const std::string& server) {
  CtrlCKey key;
  std::istream in(&key);
  std::ostringstream out, err;
  Io io{.in = in, .out = out, .err = err, .server = server};
  RunCli(std::vector<std::string>{"chat", "--session=demo"}, io);
}

TEST(ChatDeathTest, CtrlCAtThePromptLeaves) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        FakeServer server;
        server.converse = [](const v1::ConverseRequest&, auto& stream) {
          return stream.Write(FromText<v1::ConverseResponse>("started {}"));
        };
        PressCtrlCAtThePrompt(server.address());
      },
      ::testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace barista::cli
