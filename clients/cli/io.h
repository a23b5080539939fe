// What the client reads from and writes to. Passed down instead of the global streams, so that tests run commands
// in-process. The streams belong to the caller and outlive every command.
#pragma once

#include <istream>
#include <ostream>
#include <string>

namespace barista::cli {

struct Io {
  std::istream& in;
  std::ostream& out;  // results, and nothing else
  std::ostream& err;  // errors, progress, statistics
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::string server;   // where --server is not given: BARISTA_SERVER, else 127.0.0.1:8470
  std::string api_key;  // where --api_key_file is not given: BARISTA_API_KEY, else none
};

}  // namespace barista::cli
