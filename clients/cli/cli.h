// The client as a function: from the words after `barista` to an exit code. main.cc adds the process around it.
#pragma once

#include <span>
#include <string>

#include "clients/cli/io.h"

namespace barista::cli {

// Runs one command line (without the program's name) and returns the ExitCode.
int RunCli(std::span<const std::string> args, Io& io);

}  // namespace barista::cli
