// `barista chat`: what its lines and flags send over the stream, what it prints, and how it ends.
#include "tests/cli/chat_test.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/all_fields_set.h"

namespace barista::cli {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST_F(ChatTest, EachLineIsAppendedAndAnsweredOverOneStream) {
  const Result result = Type("one\n\ntwo\\\n  lines\n");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "Hello\nHello\n");
  EXPECT_THAT(result.err, IsEmpty());
  ASSERT_THAT(Actions(), ElementsAre("start", "append", "generate", "append", "generate"));
  EXPECT_EQ(server_.converse_requests[0].start().session(), "sessions/demo");
  EXPECT_EQ(server_.converse_requests[1].append().text(), "one");
  EXPECT_EQ(server_.converse_requests[3].append().text(), "two\n  lines");
}

TEST_F(ChatTest, StatisticsGoToStderr) {
  EXPECT_EQ(RunBarista(server_, {"chat", "--session=demo"}, "one\n").err,
            "[2 tokens, first after 0 ms; prompt 0 tokens; finish: length; seed 5; session at position 11]\n");
}

TEST_F(ChatTest, PersonIsGreeted) {
  EXPECT_THAT(RunBarista(server_, {"chat", "--session=demo"}, "", {.in = true}).out,
              HasSubstr("; sessions/demo at position 7; /help for help, Ctrl-D to leave\n"));
}

TEST_F(ChatTest, FlagsAreTheStreamsSamplingAndStopRules) {
  ASSERT_EQ(
      RunBarista(server_, {"chat", "--session=demo", "--temperature=0.5", "--max_tokens=9", "--speculation_tokens=4"},
                 "one\n")
          .code,
      0);
  const v1::ConverseStart& start = server_.converse_requests[0].start();
  EXPECT_TRUE(
      MessageDifferencer::Equals(start, FromText<v1::ConverseStart>("session: 'sessions/demo' sampling {"
                                                                    " temperature: 0.5 } stop { max_tokens: 9 }")));
  ExpectAllFieldsSet(start);
  EXPECT_TRUE(MessageDifferencer::Equals(server_.converse_requests[2].generate(),
                                         FromText<v1::ConverseGenerate>("speculation_tokens: 4")));
}

TEST_F(ChatTest, FlagsNotGivenLeaveTheServersDefaults) {
  Type("one\n");
  EXPECT_FALSE(server_.converse_requests[0].start().has_sampling());
  EXPECT_FALSE(server_.converse_requests[0].start().has_stop());
  EXPECT_TRUE(MessageDifferencer::Equals(server_.converse_requests[2].generate(), v1::ConverseGenerate()));
}

TEST_F(ChatTest, SetMarkAndResetChangeTheNextAnswers) {
  Type("one\n/set top_k 5\n/mark m1\ntwo\nthree\n/reset\nfour\n");
  std::vector<v1::ConverseGenerate> generates;
  for (const v1::ConverseRequest& request : server_.converse_requests) {
    if (request.has_generate()) generates.push_back(request.generate());
  }
  ASSERT_EQ(generates.size(), 4u);
  EXPECT_FALSE(generates[0].has_sampling());
  EXPECT_EQ(generates[1].sampling().top_k(), 5u);
  EXPECT_EQ(generates[1].mark(), "m1");
  EXPECT_EQ(generates[2].sampling().top_k(), 5u);
  EXPECT_FALSE(generates[2].has_mark());
  EXPECT_TRUE(generates[3].has_sampling() && generates[3].has_stop());
  EXPECT_TRUE(MessageDifferencer::Equals(generates[3].sampling(), v1::SamplingParams()));
  // No field is out of reach of a chat, but what only JSON could show.
  Type("/set top_k 5\n/set speculation_tokens 4\n/mark m1\none\n");
  ExpectAllFieldsSet(server_.converse_requests[2].generate(), {"logprobs"});
}

TEST_F(ChatTest, MoreGoesOnWithoutALine) {
  EXPECT_EQ(Type("/more\n").out, "Hello\n");
  EXPECT_THAT(Actions(), ElementsAre("start", "generate"));
}

TEST_F(ChatTest, WithoutASessionMakesOneAndSaysSo) {
  server_.create_response.mutable_session()->set_name("sessions/drawn");
  const Result result = RunBarista(server_, {"chat", "--quiet"}, "one\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "made sessions/drawn; barista chat --session=drawn comes back to it\n");
  EXPECT_EQ(server_.create_request.session_id().size(), 16);
  EXPECT_EQ(server_.converse_requests[0].start().session(), "sessions/drawn");
}

TEST_F(ChatTest, NoRoomForASessionOfItsOwnEndsIt) {
  server_.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  EXPECT_NE(RunBarista(server_, {"chat"}, "one\n").code, 0);
  EXPECT_THAT(server_.converse_requests, IsEmpty());
}

TEST_F(ChatTest, FailedAnswerIsToldAndTheConversationGoesOn) {
  server_.converse = [this](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_generate() && server_.converse_requests.size() == 3) {
      Write(stream,
            "failed { code: 3 reason: 'INVALID_FIELD' field: 'generate.sampling.top_p' message: 'top_p: 2'"
            " session_position: 9 }");
    } else {
      Answer(request, stream);
    }
    return true;
  };
  const Result result = Type("one\ntwo\n");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "barista: INVALID_ARGUMENT: top_p: 2\n  reason: INVALID_FIELD\n");
  EXPECT_EQ(result.out, "Hello\n");
}

TEST_F(ChatTest, LineThatWasNotTakenIsNotAnswered) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_append()) {
      Write(stream, "failed { code: 9 reason: 'NO_TOKENIZER' message: 'the checkpoint has no tokenizer' }");
    } else {
      Answer(request, stream);
    }
    return true;
  };
  const Result result = Type("one\n");
  EXPECT_EQ(result.err, "barista: FAILED_PRECONDITION: the checkpoint has no tokenizer\n  reason: NO_TOKENIZER\n");
  EXPECT_THAT(Actions(), ElementsAre("start", "append"));
}

TEST_F(ChatTest, StreamThatTheServerEndsSaysWhyAndLeaves) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (request.has_generate()) Write(stream, "chunk { text: 'Hel' }");
    if (!request.has_generate()) Answer(request, stream);
    return !request.has_generate();
  };
  server_.status = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "an hour has passed");
  const Result result = Type("one\ntwo\n");
  EXPECT_EQ(result.code, 6);
  EXPECT_EQ(result.out, "Hel\n");
  EXPECT_EQ(result.err, "barista: DEADLINE_EXCEEDED: an hour has passed\n");
  EXPECT_THAT(Actions(), ElementsAre("start", "append", "generate"));
  server_.status = grpc::Status::OK;
  const Result silent = Type("one\n");
  EXPECT_EQ(silent.code, 1);
  EXPECT_EQ(silent.err, "barista: the server ended the conversation\n");
}

TEST_F(ChatTest, SessionThatIsNotThereEndsItAtOnce) {
  server_.converse = [](auto&, auto&) { return false; };
  server_.status = grpc::Status(grpc::StatusCode::NOT_FOUND, "no session sessions/demo");
  const Result result = Type("one\n");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.err, "barista: NOT_FOUND: no session sessions/demo\n");
}

TEST_F(ChatTest, StreamThatEndsBadlyAfterTheLastLineSaysSo) {
  server_.status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down");
  const Result result = Type("one\n");
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(result.out, "Hello\n");
  EXPECT_THAT(result.err, StartsWith("barista: UNAVAILABLE: shutting down\n"));
}

TEST_F(ChatTest, DeadlineIsForTheWholeConversation) {
  server_.converse = [](const v1::ConverseRequest& request, auto& stream) {
    if (!request.has_generate()) Answer(request, stream);
    return true;
  };
  EXPECT_EQ(RunBarista(server_, {"chat", "--session=demo", "--deadline_s=0.3"}, "one\n").code, 6);
}

TEST_F(ChatTest, JsonIsRefused) {
  const Result result = RunBarista(server_, {"chat", "--json"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(nlohmann::json::parse(result.err)["error"]["message"], "chat takes no arguments and no --json");
}

}  // namespace
}  // namespace barista::cli
