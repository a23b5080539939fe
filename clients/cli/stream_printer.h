// Prints a Generate stream while it arrives: the first choice's text on stdout as it comes, progress of a long prompt
// on stderr where that is a terminal, other choices and token ids when the stream has ended.
#pragma once

#include "barista/v1/inference.pb.h"
#include "clients/cli/command.h"
#include "clients/cli/generation.h"
#include "clients/cli/io.h"

namespace barista::cli {

class StreamPrinter {
 public:
  StreamPrinter(const Options& options, Io& io) : options_(options), io_(io) {}

  // One message. Flushes what it prints.
  void Print(const v1::GenerateResponse& response);

  // The stream ended well: the rest, and a line of statistics on stderr unless options.quiet. Where no text came but
  // tokens did (a model without a tokenizer), their ids are printed instead.
  void Finish(const Generation& generation);

  // The stream ended early: leaves the cursor at the start of a line.
  void Abort();

 private:
  void ClearProgress();
  void Text(absl::string_view text);
  void EndLine();

  const Options& options_;
  Io& io_;
  bool progress_shown_ = false;
  bool line_open_ = false;
};

// Runs one Generate call: prints it (or, with options.json, its JSON at the end) and returns the ExitCode. What came
// is left in `generation`, also where the call failed half way.
int RunGenerate(const v1::GenerateRequest& request, const Options& options, Io& io, Generation& generation);

}  // namespace barista::cli
