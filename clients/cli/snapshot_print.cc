#include "clients/cli/snapshot_print.h"

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "clients/cli/ago.h"
#include "clients/cli/json.h"

namespace barista::cli {
namespace {

// "KEY=VALUE KEY=VALUE", in the order of the keys.
std::string TagsText(const v1::Snapshot& snapshot) {
  const std::map<std::string, std::string> tags(snapshot.tags().begin(), snapshot.tags().end());
  return absl::StrJoin(tags, " ", absl::PairFormatter("="));
}

void PrintTable(const Snapshots& snapshots, Io& io) {
  constexpr char kFormat[] = "%-*s  %-*s  %12s  %14s  %-10s  %s";
  int name_width = 4, session_width = 7;
  for (const v1::Snapshot& snapshot : snapshots) {
    name_width = std::max(name_width, static_cast<int>(snapshot.name().size()));
    session_width = std::max(session_width, static_cast<int>(snapshot.session().size()));
  }
  io.out << absl::StrFormat(kFormat, name_width, "name", session_width, "session", "position", "bytes", "taken", "tags")
         << "\n";
  for (const v1::Snapshot& snapshot : snapshots) {
    const std::string row =
        absl::StrFormat(kFormat, name_width, snapshot.name(), session_width, snapshot.session(),
                        absl::StrCat(snapshot.position()), absl::StrCat(snapshot.bytes()),
                        snapshot.has_create_time() ? Ago(snapshot.create_time()) : "-", TagsText(snapshot));
    io.out << absl::StripTrailingAsciiWhitespace(row) << "\n";
  }
  io.out << std::flush;
}

}  // namespace

void PrintSnapshot(const v1::Snapshot& snapshot, const Options& options, Io& io) {
  if (options.json) {
    io.out << Dump(MessageJson(snapshot)) << std::endl;
    return;
  }
  Snapshots one;
  *one.Add() = snapshot;
  PrintTable(one, io);
}

void PrintSnapshots(const Snapshots& snapshots, const Options& options, Io& io) {
  if (!options.json) return PrintTable(snapshots, io);
  Json json = {{"snapshots", Json::array()}};
  for (const v1::Snapshot& snapshot : snapshots) json["snapshots"].push_back(MessageJson(snapshot));
  io.out << Dump(json) << std::endl;
}

}  // namespace barista::cli
