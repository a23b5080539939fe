// `barista`, the command-line client: the process around RunCli.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "clients/cli/cli.h"

int main(int argc, char** argv) {
  const char* server = std::getenv("BARISTA_SERVER");
  const char* api_key = std::getenv("BARISTA_API_KEY");
  barista::cli::Io io{
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .in_is_terminal = isatty(STDIN_FILENO) == 1,
      .out_is_terminal = isatty(STDOUT_FILENO) == 1,
      .err_is_terminal = isatty(STDERR_FILENO) == 1,
      .server = server != nullptr && *server != '\0' ? server : "127.0.0.1:8470",
      .api_key = api_key != nullptr ? api_key : "",
  };
  return barista::cli::RunCli(std::vector<std::string>(argv + 1, argv + argc), io);
}
