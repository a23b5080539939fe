// Runs the client in-process against a FakeServer, with streams of the test's in the place of the process's own.
#pragma once

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "barista/v1/inference.pb.h"
#include "clients/cli/cli.h"
#include "tests/cli/fake_server.h"

namespace barista::cli {

// A message from its text form; of a Generate stream where no type is given.
template <typename Message = v1::GenerateResponse>
Message FromText(const std::string& text_format) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text_format, &message)) << text_format;
  return message;
}

struct Result {
  int code;
  std::string out;
  std::string err;
};

struct Terminal {
  bool in = false;
  bool err = false;
};

// Collects what is printed, and calls `on_flush` with all of it whenever the client flushes: a test that must act when
// a text has been seen acts there.
class ObservedBuffer final : public std::stringbuf {
 public:
  explicit ObservedBuffer(std::function<void(const std::string&)> on_flush) : on_flush_(std::move(on_flush)) {}

 protected:
  int sync() override {
    on_flush_(str());
    return 0;
  }

 private:
  std::function<void(const std::string&)> on_flush_;
};

// Runs `barista args…` in this process against `server`.
inline Result RunBarista(
    const FakeServer& server, const std::vector<std::string>& args, const std::string& stdin_text = "",
    Terminal terminal = {}, std::function<void(const std::string&)> on_flush = [](const std::string&) {}) {
  std::istringstream in(stdin_text);
  ObservedBuffer out_buffer(std::move(on_flush));
  std::ostream out(&out_buffer);
  std::ostringstream err;
  Io io{.in = in,
        .out = out,
        .err = err,
        .in_is_terminal = terminal.in,
        .err_is_terminal = terminal.err,
        .server = server.address(),
        .api_key = server.client_api_key};
  const int code = RunCli(args, io);
  return {code, out_buffer.str(), err.str()};
}

}  // namespace barista::cli
