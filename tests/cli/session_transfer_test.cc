// `barista session export` and `import`: whole files or none, and the bytes as they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/cli/file_test.h"
#include "tests/cli/run_barista.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;
using Json = nlohmann::json;

class SessionTransferTest : public FileTest {
 protected:
  SessionTransferTest() {
    server_.export_stream.resize(2);
    server_.export_stream[0].set_data(std::string("Bar\0\xff\n", 6));
    server_.export_stream[1].set_data("ista");
    server_.import_response = FromText<v1::ImportSessionResponse>("session { name: 'sessions/demo' position: 42 }");
  }

  const std::string bytes_ = std::string("Bar\0\xff\nista", 10);
  FakeServer server_;
};

TEST_F(SessionTransferTest, ExportWritesTheFile) {
  Put("old");
  const Result result = RunBarista(server_, {"session", "export", "demo", Path()});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(server_.export_request.name(), "sessions/demo");
  EXPECT_EQ(Content(), bytes_);
  EXPECT_FALSE(std::filesystem::exists(Path() + ".part"));
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err, "[10 bytes]\n");
  EXPECT_EQ(Json::parse(RunBarista(server_, {"session", "export", "demo", Path(), "--json"}).out),
            (Json{{"file", Path()}, {"bytes", 10}}));
}

TEST_F(SessionTransferTest, ExportToStdoutIsTheBytesAlone) {
  EXPECT_EQ(RunBarista(server_, {"session", "export", "demo", "-"}).out, bytes_);
  EXPECT_EQ(RunBarista(server_, {"session", "export", "demo", "-", "--json"}).out, bytes_);
}

TEST_F(SessionTransferTest, ExportThatFailsHalfWayLeavesTheOldFile) {
  Put("old");
  server_.status = grpc::Status(grpc::StatusCode::INTERNAL, "lost");
  EXPECT_EQ(RunBarista(server_, {"session", "export", "demo", Path()}).code, 1);
  ExpectOnlyTheOldFile();
}

TEST_F(SessionTransferTest, InterruptedExportLeavesTheOldFile) {
  Put("old");
  server_.after_stream = [](grpc::ServerContext& context) {
    raise(SIGINT);
    while (!context.IsCancelled()) std::this_thread::yield();
  };
  EXPECT_EQ(RunBarista(server_, {"session", "export", "demo", Path()}).code, 130);
  ExpectOnlyTheOldFile();
}

TEST_F(SessionTransferTest, ExportToWhereNothingCanBeWrittenSaysWhy) {
  const Result missing = RunBarista(server_, {"session", "export", "demo", "/nonexistent/file"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err, "barista: cannot write /nonexistent/file.part: No such file or directory\n");
  EXPECT_FALSE(server_.export_request.has_name());
  const Result folder = RunBarista(server_, {"session", "export", "demo", folder_.path()});
  EXPECT_EQ(folder.code, 1);
  EXPECT_THAT(folder.err, StartsWith("barista: cannot write " + folder_.path() + ": "));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + ".part"));
}

TEST_F(SessionTransferTest, ImportSendsTheFileInPiecesAndShowsTheSession) {
  const std::string bytes = std::string(600'000, '\n') + bytes_;
  Put(bytes);
  const Result result = RunBarista(server_, {"session", "import", Path(), "sessions/demo", "--json"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(Json::parse(result.out), (Json{{"name", "sessions/demo"}, {"position", 42}}));
  std::string joined;
  for (const v1::ImportSessionRequest& request : server_.import_requests) {
    EXPECT_EQ(request.has_session_id(), joined.empty());
    EXPECT_LE(request.data().size(), 262144u);
    joined += request.data();
  }
  EXPECT_EQ(server_.import_requests.size(), 3u);
  EXPECT_EQ(server_.import_requests[0].session_id(), "demo");
  EXPECT_TRUE(joined == bytes);
}

TEST_F(SessionTransferTest, ImportFromStdinWithoutANameDrawsOne) {
  const Result result = RunBarista(server_, {"session", "import", "-"}, bytes_);
  EXPECT_THAT(result.out, HasSubstr("\nsessions/demo "));
  ASSERT_EQ(server_.import_requests.size(), 1u);
  EXPECT_THAT(server_.import_requests[0].session_id(), MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(server_.import_requests[0].data(), bytes_);
}

TEST_F(SessionTransferTest, ImportOfAnEmptyFileIsTheServersToRefuse) {
  Put("");
  ASSERT_EQ(RunBarista(server_, {"session", "import", Path()}).code, 0);
  ASSERT_EQ(server_.import_requests.size(), 1u);
}

TEST_F(SessionTransferTest, BytesThatTheServerRefusesExit3) {
  for (const grpc::StatusCode code : {grpc::StatusCode::INVALID_ARGUMENT, grpc::StatusCode::FAILED_PRECONDITION}) {
    server_.status = grpc::Status(code, "not these");
    EXPECT_EQ(RunBarista(server_, {"session", "import", "-"}, bytes_).code, 3);
  }
}

TEST_F(SessionTransferTest, ImportOfAnUnreadableFileSendsNothing) {
  const Result result = RunBarista(server_, {"session", "import", folder_.path()});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.err, "barista: cannot read " + folder_.path() + "\n");
  EXPECT_THAT(server_.import_requests, IsEmpty());
}

}  // namespace
}  // namespace barista::cli
