// Sessions on stdout: a table for people, or with options.json one object.
#pragma once

#include "barista/v1/session.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/io.h"

namespace barista::cli {

using Sessions = google::protobuf::RepeatedPtrField<v1::Session>;

// {"name", "position", …}
void PrintSession(const v1::Session& session, const Options& options, Io& io);

// {"sessions": […]}
void PrintSessions(const Sessions& sessions, const Options& options, Io& io);

}  // namespace barista::cli
