#include "clients/cli/dialogue.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "clients/cli/exit_code.h"

namespace barista::cli {

Dialogue::Dialogue(std::string help, LineReader::AtCtrlC at_ctrl_c, const Options& options, Io& io)
    : help_(std::move(help)),
      at_ctrl_c_(at_ctrl_c),
      options_(options),
      io_(io),
      reader_(MakeLineReader(
          io, [this](const std::string& typed) { return commands_.Completions(typed); }, at_ctrl_c)) {}

int Dialogue::Run(const std::function<void(const std::string& text)>& on_text) {
  AddCommonCommands();
  std::string text;
  while (!left_ && io_.out) {
    const Outcome outcome = ReadText(text);
    if (outcome != Outcome::kText) return outcome == Outcome::kEnd ? kOk : kInterrupted;
    if (text.empty()) continue;
    reader_->Remember(text);
    if (absl::StartsWith(text, "/")) {
      commands_.Run(text, io_);
    } else {
      on_text(text);
    }
  }
  return kOk;
}

// A final backslash joins the next line.
Dialogue::Outcome Dialogue::ReadText(std::string& text) {
  text.clear();
  std::string line;
  while (true) {
    switch (reader_->Read(text.empty() ? "> " : ". ", line)) {
      case LineReader::Outcome::kEnd:
        return text.empty() ? Outcome::kEnd : Outcome::kText;
      case LineReader::Outcome::kDiscarded:
        if (at_ctrl_c_ == LineReader::AtCtrlC::kLeave && text.empty() && line.empty()) return Outcome::kInterrupted;
        text.clear();
        break;
      case LineReader::Outcome::kLine:
        absl::StrAppend(&text, absl::StripSuffix(line, "\\"));
        if (!absl::EndsWith(line, "\\")) return Outcome::kText;
        text += "\n";
    }
  }
}

void Dialogue::AddCommonCommands() {
  commands_.Add({"/tokens", "TEXT", "show the token ids of a text",
                 [this](absl::string_view text) { MakeTokenize()->Run({std::string(text)}, options_, io_); }});
  commands_.Add(
      {"/model", "", "describe the model", [this](absl::string_view) { MakeDescribe()->Run({}, options_, io_); }});
  commands_.Add({"/help", "", "show this", [this](absl::string_view) { io_.out << help_ << commands_.Help(); }});
  const auto leave = [this](absl::string_view) { Leave(); };
  commands_.Add({"/quit", "", "leave, as Ctrl-D does", leave});
  commands_.Add({"/exit", "", "the same", leave});
}

}  // namespace barista::cli
