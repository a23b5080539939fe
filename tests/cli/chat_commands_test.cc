// The commands of `barista chat` on its session, between two turns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/chat_test.h"

namespace barista::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using ChatCommandsTest = ChatTest;

TEST_F(ChatCommandsTest, ForkCopiesTheSessionOfTheChat) {
  server_.fork_response.add_sessions()->set_name("sessions/left");
  const Result result = Type("one\n/fork left right --repeat_parent\ntwo\n");
  EXPECT_EQ(server_.fork_request.name(), "sessions/demo");
  EXPECT_THAT(server_.fork_request.session_ids(), ElementsAre("left", "right"));
  EXPECT_TRUE(server_.fork_request.repeat_parent());
  EXPECT_THAT(result.out, HasSubstr("sessions/left"));
  EXPECT_THAT(Actions(), ElementsAre("start", "append", "generate", "append", "generate"));
}

TEST_F(ChatCommandsTest, RewindTakesTokensAMarkOrTurns) {
  Type("/rewind 12\n");
  EXPECT_EQ(server_.rewind_request.name(), "sessions/demo");
  EXPECT_EQ(server_.rewind_request.tokens(), 12u);
  Type("/rewind m1\n");
  EXPECT_EQ(server_.rewind_request.mark(), "m1");
  Type("/rewind turns\n");
  EXPECT_EQ(server_.rewind_request.turns(), 1u);
  Type("/rewind turns 3\n");
  EXPECT_EQ(server_.rewind_request.turns(), 3u);
}

TEST_F(ChatCommandsTest, SaveTakesASnapshot) {
  server_.snapshot_response.mutable_snapshot()->set_name("snapshots/kept");
  const Result result = Type("/save kept --replace --tag=who=me\n");
  EXPECT_EQ(server_.snapshot_request.name(), "sessions/demo");
  EXPECT_EQ(server_.snapshot_request.snapshot_id(), "kept");
  EXPECT_TRUE(server_.snapshot_request.replace());
  EXPECT_EQ(server_.snapshot_request.tags().at("who"), "me");
  EXPECT_THAT(result.out, HasSubstr("snapshots/kept"));
}

TEST_F(ChatCommandsTest, SessionShowsIt) {
  server_.get_response = FromText<v1::GetSessionResponse>("session { name: 'sessions/demo' turns: 2 }");
  EXPECT_THAT(Type("/session\n").out, HasSubstr("rewinds by 2 turns at most\n"));
  EXPECT_EQ(server_.get_request.name(), "sessions/demo");
}

TEST_F(ChatCommandsTest, MistakesAreToldAndTheConversationGoesOn) {
  const Result result = Type(
      "/fork\n/rewind\n/rewind turns x\n/rewind 1 2\n/mark\n/save a b\n/save a --tokens=1\n/set top_k "
      "many\n/brew\none\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err,
            "usage: /fork NAME...\n"
            "usage: /rewind N|MARK|turns [N]\n"
            "barista: --turns: 'x' is not a whole number of 0 or more\n"
            "usage: /rewind N|MARK|turns [N]\n"
            "usage: /mark NAME\n"
            "barista: usage: barista session snapshot NAME [SNAP]\n"
            "barista: --tokens is no flag of session snapshot (see: barista session --help)\n"
            "--top_k: 'many' is not a whole number of 0 or more\n"
            "unknown command /brew; /help lists them\n");
  EXPECT_EQ(result.out, "Hello\n");
  EXPECT_FALSE(server_.fork_request.has_name() || server_.rewind_request.has_name());
}

TEST_F(ChatCommandsTest, FailedCallLeavesTheConversation) {
  server_.converse = [this](const v1::ConverseRequest& request, auto& stream) {
    server_.status = grpc::Status();
    if (request.has_start()) server_.status = grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "too far back");
    Answer(request, stream);
    return true;
  };
  const Result result = Type("/rewind 5000\none\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "barista: OUT_OF_RANGE: too far back\n");
  EXPECT_EQ(result.out, "Hello\n");
}

TEST_F(ChatCommandsTest, HelpListsThemAndQuitLeaves) {
  const std::string help = Type("/help\n/quit\none\n").out;
  for (const char* line : {"  /help ", "  /fork NAME... ", "  /rewind N|MARK|turns [N] ", "  /save [SNAP] ",
                           "  /mark NAME ", "  /set NAME VALUE ", "  /session ", "  /quit ", "  /more "}) {
    EXPECT_THAT(help, HasSubstr(line));
  }
  EXPECT_THAT(Actions(), ElementsAre("start"));
  EXPECT_THAT(Type("/exit\none\n").out, IsEmpty());
}

}  // namespace
}  // namespace barista::cli
