// How the client comes in: API keys, flags of TLS, and the metadata that names a session.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/run_barista.h"
#include "tests/support/temp_dir.h"

namespace barista::cli {
namespace {

using ::testing::HasSubstr;

TEST(SecurityTest, TheKeyOfTheFileGoesBeforeTheEnvironments) {
  const TempDir dir;
  FakeServer server;
  EXPECT_EQ(RunBarista(server, {"describe"}).code, 0);
  EXPECT_EQ(server.metadata("authorization"), "");
  server.client_api_key = "from-environment";
  EXPECT_EQ(RunBarista(server, {"describe"}).code, 0);
  EXPECT_EQ(server.metadata("authorization"), "Bearer from-environment");
  const std::string file = dir.Write("key", "  from-file\n");
  EXPECT_EQ(RunBarista(server, {"describe", "--api_key_file=" + file}).code, 0);
  EXPECT_EQ(server.metadata("authorization"), "Bearer from-file");
  EXPECT_EQ(RunBarista(server, {"--api_key_file=" + file, "session", "list"}).code, 0);
  EXPECT_EQ(server.metadata("authorization"), "Bearer from-file");
}

TEST(SecurityTest, EveryCallOnASessionNamesIt) {
  FakeServer server;
  server.converse = [](auto&, auto&) { return false; };  // chat ends at once
  const std::pair<std::vector<std::string>, std::string> rows[] = {
      {{"session", "create", "a"}, "sessions/a"},
      {{"session", "create", "--request_id=r"}, ""},
      {{"session", "get", "sessions/a"}, "sessions/a"},
      {{"session", "delete", "a"}, "sessions/a"},
      {{"session", "fork", "a", "b"}, "sessions/a"},
      {{"session", "rewind", "a", "--turns=1"}, "sessions/a"},
      {{"session", "snapshot", "a", "s"}, "sessions/a"},
      {{"session", "restore", "s", "b"}, "sessions/b"},
      {{"session", "export", "a", "-"}, "sessions/a"},
      {{"session", "import", "-", "b"}, "sessions/b"},
      {{"session", "list"}, ""},
      {{"session", "snapshot-info", "s"}, ""},
      {{"generate", "text", "--session=a"}, "sessions/a"},
      {{"generate", "text"}, ""},
      {{"append", "--session=a", "--tokens=1"}, "sessions/a"},
      {{"chat", "--session=a"}, "sessions/a"},
      {{"session", "get", "no name\n"}, ""},
  };
  for (const auto& [words, session] : rows) {
    RunBarista(server, words);
    EXPECT_EQ(server.metadata("x-barista-session"), session) << words.front() << " " << words.back();
  }
}

TEST(SecurityTest, WhatIsWrongIsSaidBeforeACallIsMade) {
  const TempDir dir;
  FakeServer server;
  const std::string none = dir.file("none"), empty = dir.Write("empty", "\n"), two = dir.Write("two", "a b\n");
  const struct {
    std::vector<std::string> flags;
    int code;
    std::vector<std::string> words;
  } rows[] = {
      {{"--api_key_file=" + none}, 1, {"--api_key_file", none}},
      {{"--api_key_file=" + empty}, 2, {"--api_key_file", "empty"}},
      {{"--api_key_file=" + two}, 2, {"--api_key_file", "one word"}},
      {{"--tls_ca=" + none}, 1, {"--tls_ca", none}},
      {{"--tls_ca=" + two}, 2, {"--tls_ca", "PEM"}},
      {{"--tls_cert=" + two}, 2, {"--tls_cert", "--tls_key"}},
      {{"--tls_server_name=x"}, 2, {"--tls_server_name", "--tls"}},
  };
  for (const auto& [flags, code, words] : rows) {
    std::vector<std::string> args = {"describe"};
    args.insert(args.end(), flags.begin(), flags.end());
    const Result result = RunBarista(server, args);
    EXPECT_EQ(result.code, code) << result.err;
    for (const std::string& word : words) EXPECT_THAT(result.err, HasSubstr(word));
  }
}

TEST(SecurityTest, ARefusedKeyIsToldWithWhereItComesFrom) {
  FakeServer server;
  server.status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the API key is not known");
  const Result result = RunBarista(server, {"describe"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("UNAUTHENTICATED: the API key is not known"));
  EXPECT_THAT(result.err, HasSubstr("--api_key_file=FILE or BARISTA_API_KEY"));
}

}  // namespace
}  // namespace barista::cli
