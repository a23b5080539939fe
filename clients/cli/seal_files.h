// Sealed states between a call and files: --seal writes the one that the call ends with, --sealed_state continues one.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/flags.h"
#include "clients/cli/io.h"
#include "clients/cli/part_file.h"

namespace barista::cli {

// Not thread-safe. Errors are those of ReportInputError.
class SealFiles {
 public:
  // Declares --seal and --sealed_state. This outlives `flags`.
  void AddFlags(FlagSet& flags);

  bool continues() const { return !from_.empty(); }
  bool reads_stdin() const { return from_ == "-"; }

  // Before the call: reads the one to continue into `request`, and asks for the one to write; its file is opened now,
  // so that no call is made whose end could not be kept.
  absl::Status Prepare(v1::GenerateRequest& request, Io& io);

  // After a call that ended well: the file is whole, or as it was before.
  absl::Status Write(const v1::Summary& summary);

 private:
  std::string from_, to_;  // files; empty: not asked for
  std::unique_ptr<PartFile> part_;
};

}  // namespace barista::cli
