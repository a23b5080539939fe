// Sessions on stdout: a table for people, or with options.json one object.
#pragma once

#include "barista/v1/session.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/io.h"
#include "clients/cli/json.h"

namespace barista::cli {

using Sessions = google::protobuf::RepeatedPtrField<v1::Session>;

// {"name", "position", …} and then `more`; for people also where it can be put back to.
void PrintSession(const v1::Session& session, const Options& options, Io& io, const Json& more = Json::object());

// {"sessions": […]}
void PrintSessions(const Sessions& sessions, const Options& options, Io& io);

}  // namespace barista::cli
