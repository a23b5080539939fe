#include "clients/cli/line_reader.h"

#include <unistd.h>

#include <istream>
#include <utility>

#include "clients/cli/exit_code.h"
#include "clients/cli/interrupt.h"
#include "clients/cli/line_editor.h"

namespace barista::cli {
namespace {

class StreamReader final : public LineReader {
 public:
  StreamReader(Io& io, AtCtrlC at_ctrl_c) : io_(io), at_ctrl_c_(at_ctrl_c) {}

  Outcome Read(const std::string& prompt, std::string& line) override {
    const auto show = [this](const std::string& text) {
      if (io_.in_is_terminal) io_.out << text << std::flush;
    };
    // The terminal itself forgets the line that was being typed. A read that waits cannot be told to end.
    const InterruptScope scope([&] {
      if (at_ctrl_c_ == AtCtrlC::kLeave) _exit(kInterrupted);
      show("\n" + prompt);
    });
    show(prompt);
    if (std::getline(io_.in, line)) return Outcome::kLine;
    show("\n");
    return Outcome::kEnd;
  }

  void Remember(const std::string&) override {}

 private:
  Io& io_;
  const AtCtrlC at_ctrl_c_;
};

}  // namespace

std::unique_ptr<LineReader> MakeLineReader(Io& io, LineReader::Completer completer, LineReader::AtCtrlC at_ctrl_c) {
  if (io.in_is_terminal && io.out_is_terminal) return std::make_unique<LineEditor>(std::move(completer));
  return std::make_unique<StreamReader>(io, at_ctrl_c);
}

}  // namespace barista::cli
