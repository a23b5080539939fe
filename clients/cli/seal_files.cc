#include "clients/cli/seal_files.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/input.h"

namespace barista::cli {
namespace {

FlagSet::Setter FileName(std::string& name, bool stdio_allowed) {
  return [&name, stdio_allowed](absl::string_view value) {
    if (value.empty()) return absl::InvalidArgumentError("is empty; give a file");
    if (value == "-" && !stdio_allowed) {
      return absl::InvalidArgumentError("standard output has the text; give a file");
    }
    name = std::string(value);
    return absl::OkStatus();
  };
}

}  // namespace

void SealFiles::AddFlags(FlagSet& flags) {
  flags.Section("State that the caller keeps (the server keeps nothing)");
  flags.Value("seal", "FILE", "Write the state after the call, encrypted by the server, to FILE.",
              FileName(to_, false));
  flags.Value("sealed_state", "FILE", "Continue such a state; - is standard input. No prompt is needed then.",
              FileName(from_, true));
}

absl::Status SealFiles::Prepare(v1::GenerateRequest& request, Io& io) {
  if (!from_.empty()) {
    absl::StatusOr<std::string> state = ReadInput(from_, io);
    if (!state.ok()) return state.status();
    request.set_sealed_state(*std::move(state));
  }
  if (to_.empty()) return absl::OkStatus();
  request.set_seal(true);
  part_ = std::make_unique<PartFile>(to_);
  return part_->Open();
}

absl::Status SealFiles::Write(const v1::Summary& summary) {
  if (part_ == nullptr) return absl::OkStatus();
  if (!summary.has_sealed_state()) return absl::UnavailableError("the server sent no sealed state");
  const absl::Status written = part_->Write(summary.sealed_state());
  return written.ok() ? part_->Commit() : written;
}

}  // namespace barista::cli
