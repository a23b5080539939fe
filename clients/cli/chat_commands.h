// What can be done with the session of `chat` between two turns: the same as `barista session` does.
#pragma once

#include <string>

#include "clients/cli/command.h"
#include "clients/cli/io.h"
#include "clients/cli/slash_commands.h"

namespace barista::cli {

// Adds /fork, /rewind, /save, /session, and /mark, which sets `mark`, a name for the position after the next answer.
// `session` is the name. The arguments outlive `commands`.
void AddChatCommands(SlashCommands& commands, const std::string& session, std::string& mark, const Options& options,
                     Io& io);

}  // namespace barista::cli
