#include "clients/cli/session_print.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/json.h"

namespace barista::cli {
namespace {

// "5 min ago", in the largest unit that fits; never below 0 s where the server's clock is ahead of ours.
std::string Ago(int64_t seconds) {
  constexpr int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour;
  seconds = std::max<int64_t>(seconds, 0);
  if (seconds < kMinute) return absl::StrCat(seconds, " s ago");
  if (seconds < kHour) return absl::StrCat(seconds / kMinute, " min ago");
  if (seconds < kDay) return absl::StrCat(seconds / kHour, " h ago");
  return absl::StrCat(seconds / kDay, " d ago");
}

void PrintTable(const Sessions& sessions, Io& io) {
  constexpr char kFormat[] = "%-*s  %12s  %-4s  %14s  %s\n";
  int width = 4;
  for (const v1::Session& session : sessions) width = std::max(width, static_cast<int>(session.name().size()));
  io.out << absl::StrFormat(kFormat, width, "name", "position", "busy", "bytes", "used");
  const int64_t now = std::time(nullptr);
  for (const v1::Session& session : sessions) {
    io.out << absl::StrFormat(kFormat, width, session.name(), absl::StrCat(session.position()),
                              session.busy() ? "yes" : "no", absl::StrCat(session.state_bytes()),
                              session.has_use_time() ? Ago(now - session.use_time().seconds()) : "-");
  }
  io.out << std::flush;
}

}  // namespace

void PrintSession(const v1::Session& session, const Options& options, Io& io) {
  if (options.json) {
    io.out << Dump(MessageJson(session)) << std::endl;
  } else {
    Sessions one;
    *one.Add() = session;
    PrintTable(one, io);
  }
}

void PrintSessions(const Sessions& sessions, const Options& options, Io& io) {
  if (!options.json) return PrintTable(sessions, io);
  Json json = {{"sessions", Json::array()}};
  for (const v1::Session& session : sessions) json["sessions"].push_back(MessageJson(session));
  io.out << Dump(json) << std::endl;
}

}  // namespace barista::cli
