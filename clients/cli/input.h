// Input that is read whole: prompts and sealed states. What may be of any length goes through piece_reader.h instead.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "clients/cli/io.h"

namespace barista::cli {

// All of a file, or of io.in for "-". NotFound, with its name, where it cannot be read.
absl::StatusOr<std::string> ReadInput(const std::string& name, Io& io);

}  // namespace barista::cli
