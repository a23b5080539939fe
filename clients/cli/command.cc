#include "clients/cli/command.h"

#include "clients/cli/error_report.h"

namespace barista::cli {

int RunWords(Command& command, const std::vector<std::string>& words, const Options& options, Io& io) {
  FlagSet flags;
  command.AddFlags(flags);
  const absl::StatusOr<std::vector<std::string>> arguments = flags.Parse(words);
  if (!arguments.ok()) {
    return ReportInputError(absl::InvalidArgumentError(arguments.status().message()), options, io);
  }
  return command.Run(*arguments, options, io);
}

}  // namespace barista::cli
