// The log: lines are JSON, and a reader that does not read costs lines, never time.
#include "server/observe/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"

namespace barista {
namespace {

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(ends_), 0); }
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }
  void CloseReader() { Close(ends_[0]); }
  void CloseWriter() { Close(ends_[1]); }
  int in() const { return ends_[1]; }
  // All that was written.
  std::string ReadAll() {
    CloseWriter();
    std::string all;
    char piece[4096];
    for (ssize_t n; (n = read(ends_[0], piece, sizeof(piece))) > 0;) all.append(piece, n);
    return all;
  }
  void Fill() const {
    fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    const std::string block(4096, ' ');
    while (write(ends_[1], block.data(), block.size()) > 0) {
    }
    fcntl(ends_[1], F_SETFL, 0);
  }

 private:
  static void Close(int& end) {
    if (end >= 0) close(std::exchange(end, -1));
  }

  int ends_[2];
};

TEST(LogTest, LinesAreJsonObjectsWhateverTheValuesHold) {
  Pipe pipe;
  InitLog("info", pipe.in());
  LogInfo("one", {{"text", "quote \" newline \n %v {} \xff"}, {"number", 0.5}});
  LogError("two");
  LogInfo("three", nlohmann::ordered_json{{"method", "Generate"}});
  FlushLog();
  std::vector<nlohmann::json> lines;
  for (const absl::string_view line : absl::StrSplit(pipe.ReadAll(), '\n', absl::SkipEmpty())) {
    lines.push_back(nlohmann::json::parse(line));
  }
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["event"], "one");
  EXPECT_EQ(lines[0]["text"], "quote \" newline \n %v {} \xef\xbf\xbd");
  EXPECT_EQ(lines[0]["level"], "info");
  EXPECT_EQ(lines[1]["level"], "error");
  EXPECT_EQ(lines[2]["method"], "Generate");
  EXPECT_EQ(LogLinesDropped(), 0);
}

// Were anything to wait for the reader, this would not end.
TEST(LogTest, APipeThatNobodyReadsCostsLinesAlone) {
  Pipe pipe;
  pipe.Fill();
  InitLog("info", pipe.in());
  const int lines = 30000;  // more than the queue holds
  for (int i = 0; i < lines; ++i) LogInfo("call", {{"method", "Generate"}});
  EXPECT_GT(LogLinesDropped(), lines / 2);
  FlushLog();  // gives up what nobody takes
}

TEST(LogTest, AReaderThatLeftEndsNothing) {
  Pipe pipe;
  InitLog("info", pipe.in());
  pipe.CloseReader();
  LogInfo("call");
  FlushLog();
  EXPECT_EQ(LogLinesDropped(), 1);
}

}  // namespace
}  // namespace barista
