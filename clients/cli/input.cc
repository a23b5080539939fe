#include "clients/cli/input.h"

#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace barista::cli {
namespace {

// Whatever can be read; in.bad() tells whether that was not all, as of a directory.
std::string ReadAll(std::istream& in) {
  std::string text;
  char buffer[65536];
  while (in) {
    in.read(buffer, sizeof(buffer));
    text.append(buffer, static_cast<size_t>(in.gcount()));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> ReadInput(const std::string& name, Io& io) {
  if (name == "-") return ReadAll(io.in);
  std::ifstream file(name, std::ios::binary);
  std::string text;
  if (file.is_open()) text = ReadAll(file);
  if (!file.is_open() || file.bad()) return absl::NotFoundError(absl::StrCat("cannot read ", name));
  return text;
}

}  // namespace barista::cli
