#include "clients/cli/chat_commands.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "clients/cli/flags.h"

namespace barista::cli {
namespace {

using Words = std::vector<std::string>;

Words WordsOf(absl::string_view rest) { return absl::StrSplit(rest, ' ', absl::SkipWhitespace()); }

// The flag of `session rewind` that `words` mean; empty where they mean none.
std::string RewindFlag(const Words& words) {
  if (words.empty() || words.size() > 2) return "";
  if (words[0] == "turns") return absl::StrCat("--turns=", words.size() == 2 ? words[1] : "1");
  if (words.size() == 2) return "";
  const bool is_number = ParseInteger<uint64_t>(words[0]).ok();
  return absl::StrCat(is_number ? "--tokens=" : "--mark=", words[0]);
}

}  // namespace

void AddChatCommands(SlashCommands& commands, const std::string& session, std::string& mark, const Options& options,
                     Io& io) {
  const auto run = [&session, &options, &io](Words action, Words more) {
    action.push_back(session);
    action.insert(action.end(), more.begin(), more.end());
    RunWords(*MakeSession(), action, options, io);
  };
  commands.Add({"/fork", "NAME...", "copy it as it is now; the conversation stays in this one",
                [run, &io](absl::string_view rest) {
                  const Words words = WordsOf(rest);
                  if (words.empty()) {
                    io.err << "usage: /fork NAME...\n";
                  } else {
                    run({"fork"}, words);
                  }
                }});
  commands.Add({"/rewind",
                "N|MARK|turns [N]",
                "put it back: N tokens, to MARK, or N calls (a line and its answer are two)",
                [run, &io](absl::string_view rest) {
                  const std::string flag = RewindFlag(WordsOf(rest));
                  if (flag.empty()) {
                    io.err << "usage: /rewind N|MARK|turns [N]\n";
                  } else {
                    run({"rewind"}, {flag});
                  }
                },
                {"turns"}});
  commands.Add({"/save", "[SNAP]", "keep its state as a snapshot; --replace: in the place of one of that name",
                [run](absl::string_view rest) { run({"snapshot"}, WordsOf(rest)); }});
  commands.Add(
      {"/mark", "NAME", "name the position after the next answer, for /rewind", [&mark, &io](absl::string_view rest) {
         const Words words = WordsOf(rest);
         if (words.size() == 1) {
           mark = words[0];
         } else {
           io.err << "usage: /mark NAME\n";
         }
       }});
  commands.Add({"/session", "", "show the session", [run](absl::string_view) { run({"get"}, {}); }});
}

}  // namespace barista::cli
