#include "clients/cli/session_print.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/ago.h"

namespace barista::cli {
namespace {

std::string TierName(const v1::Session& session) {
  if (session.tier() == v1::TIER_UNSPECIFIED) return "-";
  return EnumName(*v1::Tier_descriptor()->FindValueByNumber(session.tier()));
}

void PrintTable(const Sessions& sessions, Io& io) {
  constexpr char kFormat[] = "%-*s  %12s  %-4s  %-9s  %14s  %s\n";
  int width = 4;
  for (const v1::Session& session : sessions) width = std::max(width, static_cast<int>(session.name().size()));
  io.out << absl::StrFormat(kFormat, width, "name", "position", "busy", "tier", "bytes", "used");
  for (const v1::Session& session : sessions) {
    io.out << absl::StrFormat(kFormat, width, session.name(), absl::StrCat(session.position()),
                              session.busy() ? "yes" : "no", TierName(session), absl::StrCat(session.state_bytes()),
                              session.has_use_time() ? Ago(session.use_time()) : "-");
  }
}

// What `session rewind` reaches, one a line.
void PrintRewind(const v1::Session& session, Io& io) {
  if (session.has_rewind_position_min()) {
    io.out << "  rewinds to position " << session.rewind_position_min() << " at least\n";
  }
  if (session.has_turns()) io.out << "  rewinds by " << session.turns() << " turns at most\n";
  for (const v1::Mark& mark : session.marks()) {
    io.out << "  mark " << mark.mark() << " at position " << mark.position() << "\n";
  }
}

}  // namespace

void PrintSession(const v1::Session& session, const Options& options, Io& io, const Json& more) {
  if (options.json) {
    Json json = MessageJson(session);
    json.update(more);
    io.out << Dump(json) << std::endl;
    return;
  }
  Sessions one;
  *one.Add() = session;
  PrintTable(one, io);
  PrintRewind(session, io);
  io.out << std::flush;
}

void PrintSessions(const Sessions& sessions, const Options& options, Io& io) {
  if (!options.json) {
    PrintTable(sessions, io);
    io.out << std::flush;
    return;
  }
  Json json = {{"sessions", Json::array()}};
  for (const v1::Session& session : sessions) json["sessions"].push_back(MessageJson(session));
  io.out << Dump(json) << std::endl;
}

}  // namespace barista::cli
