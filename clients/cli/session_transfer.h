// `session export` and `session import`: a session's bytes between the server and a file.
#pragma once

#include <string>

#include "barista/v1/session.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/io.h"

namespace barista::cli {

// Writes the session to `file`, which is left as it was where that fails, or to io.out for "-". `bytes` counts them.
// Returns the ExitCode, reported where it is not kOk.
int ExportToFile(const std::string& name, const std::string& file, const Options& options, Io& io, uint64_t& bytes);

// Makes a session of the bytes of `file`, or of io.in for "-". `id`: the session's.
// Returns the ExitCode, reported where it is not kOk.
int ImportFromFile(const std::string& file, const std::string& id, const Options& options, Io& io,
                   v1::Session& session);

}  // namespace barista::cli
