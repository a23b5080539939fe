// One turn of `chat`: requests of the conversation, and what is printed of their answers.
#pragma once

#include <vector>

#include "barista/v1/inference.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/conversation.h"
#include "clients/cli/io.h"

namespace barista::cli {

// Text on stdout as it comes; on stderr statistics, or what failed, or that Ctrl-C interrupted it. False where the
// stream has ended, which the caller reports, or where stdout takes no more.
bool RunTurn(Conversation& conversation, const std::vector<v1::ConverseRequest>& requests, const Options& options,
             Io& io);

}  // namespace barista::cli
