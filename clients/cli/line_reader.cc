#include "clients/cli/line_reader.h"

#include <istream>
#include <utility>

#include "clients/cli/interrupt.h"
#include "clients/cli/line_editor.h"

namespace barista::cli {
namespace {

class StreamReader final : public LineReader {
 public:
  explicit StreamReader(Io& io) : io_(io) {}

  Outcome Read(const std::string& prompt, std::string& line) override {
    const auto show = [this](const std::string& text) {
      if (io_.in_is_terminal) io_.out << text << std::flush;
    };
    // The terminal itself forgets the line that was being typed.
    const InterruptScope scope([&] { show("\n" + prompt); });
    show(prompt);
    if (std::getline(io_.in, line)) return Outcome::kLine;
    show("\n");
    return Outcome::kEnd;
  }

  void Remember(const std::string&) override {}

 private:
  Io& io_;
};

}  // namespace

std::unique_ptr<LineReader> MakeLineReader(Io& io, LineReader::Completer completer) {
  if (io.in_is_terminal && io.out_is_terminal) return std::make_unique<LineEditor>(std::move(completer));
  return std::make_unique<StreamReader>(io);
}

}  // namespace barista::cli
