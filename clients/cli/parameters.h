// How the next tokens are drawn: set by a command's flags first, and changed by /set and /reset while it runs.
#pragma once

#include "absl/strings/string_view.h"
#include "barista/v1/inference.pb.h"
#include "clients/cli/flags.h"
#include "clients/cli/io.h"
#include "clients/cli/slash_commands.h"

namespace barista::cli {

// Not thread-safe.
class Parameters {
 public:
  // Declares the sampling, stop and speculation flags. This outlives `flags`.
  void AddFlags(FlagSet& flags);

  // Adds /set, /params, /reset and /flags. This and `io` outlive `commands`. Once.
  void AddCommands(SlashCommands& commands, Io& io);

  // What is set, in a request that has nothing else.
  const v1::GenerateRequest& request() const { return request_; }

  // Whether /set or /reset has changed anything since the flags.
  bool changed() const { return changed_; }

 private:
  void Set(absl::string_view assignment, Io& io);

  v1::GenerateRequest request_;
  FlagSet flags_;  // of /set
  bool changed_ = false;
};

}  // namespace barista::cli
