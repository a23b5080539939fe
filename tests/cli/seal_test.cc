// `barista generate --seal` and `--sealed_state`: the state that the caller keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/file_test.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

class SealTest : public FileTest {
 protected:
  SealTest() {
    server_.stream = {FromText("chunk { text: 'Hello' token_ids: 1 finish_reason: FINISH_REASON_LENGTH }"),
                      FromText("summary { usage { generated_tokens: 1 } }")};
    server_.stream[1].mutable_summary()->set_sealed_state(bytes_);
  }

  const std::string bytes_ = std::string("seal\0\xff\n", 7);
  FakeServer server_;
};

TEST_F(SealTest, SealWritesTheFileBesideTheText) {
  Put("old");
  const Result result = RunBarista(server_, {"generate", "hi", "--seal", Path()});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(server_.generate_request.seal());
  EXPECT_EQ(result.out, "Hello\n");
  EXPECT_EQ(Content(), bytes_);
  EXPECT_FALSE(std::filesystem::exists(Path() + ".part"));
  const Json json = Json::parse(RunBarista(server_, {"generate", "hi", "--seal", Path(), "--json"}).out);
  EXPECT_EQ(json["sealed_state_bytes"], 7);
}

TEST_F(SealTest, SealedStateIsSentAndNeedsNoPrompt) {
  Put(bytes_);
  ASSERT_EQ(RunBarista(server_, {"generate", "--sealed_state", Path()}).code, 0);
  EXPECT_EQ(server_.generate_request.sealed_state(), bytes_);
  EXPECT_EQ(server_.generate_request.prompt_case(), v1::GenerateRequest::PROMPT_NOT_SET);
  ASSERT_EQ(RunBarista(server_, {"generate", "hi", "--sealed_state=-"}, bytes_).code, 0);
  EXPECT_EQ(server_.generate_request.sealed_state(), bytes_);
  EXPECT_EQ(server_.generate_request.text(), "hi");
}

TEST_F(SealTest, OneFileMayHoldTheStateBeforeAndAfter) {
  Put("before");
  ASSERT_EQ(RunBarista(server_, {"generate", "--sealed_state", Path(), "--seal", Path()}).code, 0);
  EXPECT_EQ(server_.generate_request.sealed_state(), "before");
  EXPECT_EQ(Content(), bytes_);
}

TEST_F(SealTest, CallThatFailsLeavesTheOldFile) {
  Put("old");
  server_.status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "the state was altered");
  EXPECT_EQ(RunBarista(server_, {"generate", "hi", "--seal", Path()}).code, 3);
  ExpectOnlyTheOldFile();
}

TEST_F(SealTest, ServerThatSealsNothingIsAFailure) {
  Put("old");
  server_.stream[1].mutable_summary()->clear_sealed_state();
  const Result result = RunBarista(server_, {"generate", "hi", "--seal", Path()});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("barista: the server sent no sealed state\n"));
  ExpectOnlyTheOldFile();
}

TEST_F(SealTest, FilesThatCannotBeHadAreToldBeforeTheCall) {
  const Result unwritable = RunBarista(server_, {"generate", "hi", "--seal=/nonexistent/file"});
  EXPECT_EQ(unwritable.code, 1);
  EXPECT_EQ(unwritable.err, "barista: cannot write /nonexistent/file.part: No such file or directory\n");
  const Result unreadable = RunBarista(server_, {"generate", "hi", "--sealed_state", folder_.path()});
  EXPECT_EQ(unreadable.code, 1);
  EXPECT_EQ(unreadable.err, "barista: cannot read " + folder_.path() + "\n");
  EXPECT_THAT(server_.generate_request.text(), IsEmpty());
}

TEST_F(SealTest, StandardStreamsAreGivenToOneThingAlone) {
  EXPECT_THAT(RunBarista(server_, {"generate", "hi", "--seal=-"}).err,
              HasSubstr("--seal: standard output has the text; give a file"));
  EXPECT_THAT(RunBarista(server_, {"generate", "-", "--sealed_state=-"}).err,
              HasSubstr("standard input is both the prompt and the sealed state"));
}

}  // namespace
}  // namespace barista::cli
