// What the tests of `barista chat` share: a server that answers every request of a conversation well.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cli/run_barista.h"

namespace barista::cli {

class ChatTest : public ::testing::Test {
 protected:
  ChatTest() {
    server_.converse = [](const v1::ConverseRequest& request, FakeInference::ConverseStream& stream) {
      Answer(request, stream);
      return true;
    };
  }

  static void Write(FakeInference::ConverseStream& stream, const std::string& text_format) {
    stream.Write(FromText<v1::ConverseResponse>(text_format));
  }

  static void Answer(const v1::ConverseRequest& request, FakeInference::ConverseStream& stream) {
    if (request.has_start()) Write(stream, "started { session_position: 7 }");
    if (request.has_append()) Write(stream, "appended { session_position: 9 usage { prompt_tokens: 2 } }");
    if (!request.has_generate()) return;
    Write(stream, "chunk { text: 'Hel' token_ids: 1 }");
    Write(stream, "chunk { text: 'lo' token_ids: 2 finish_reason: FINISH_REASON_LENGTH }");
    Write(stream, "generated { usage { generated_tokens: 2 } seed: 5 session_position: 11 }");
  }

  // Runs `barista chat --session=demo --quiet` on these lines.
  Result Type(const std::string& lines) { return RunBarista(server_, {"chat", "--session=demo", "--quiet"}, lines); }

  // "start", "append", "generate", … in the order in which they arrived.
  std::vector<std::string> Actions() const {
    std::vector<std::string> names;
    for (const v1::ConverseRequest& request : server_.converse_requests) {
      names.push_back(v1::ConverseRequest::descriptor()->FindFieldByNumber(request.action_case())->name());
    }
    return names;
  }

  FakeServer server_;
};

}  // namespace barista::cli
