// Snapshots on stdout: a table for people, or with options.json one object.
#pragma once

#include "barista/v1/session.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/io.h"

namespace barista::cli {

using Snapshots = google::protobuf::RepeatedPtrField<v1::Snapshot>;

// {"name", "session", …}
void PrintSnapshot(const v1::Snapshot& snapshot, const Options& options, Io& io);

// {"snapshots": […]}
void PrintSnapshots(const Snapshots& snapshots, const Options& options, Io& io);

}  // namespace barista::cli
