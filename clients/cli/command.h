// One command of the client (`barista generate`, `barista score`, …): its help, its flags, and what it does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clients/cli/flags.h"
#include "clients/cli/io.h"
#include "clients/cli/security.h"

namespace barista::cli {

// What every command understands.
struct Options {
  std::string server;              // HOST:PORT
  bool json = false;               // results on stdout and errors on stderr as one JSON object each
  bool quiet = false;              // no progress, no statistics
  std::optional<double> deadline;  // seconds for a whole call; none: the server's limit
  Security security;
};

class Command {
 public:
  virtual ~Command() = default;

  // What follows `barista` on the command line, such as "generate [flags] [TEXT|-]".
  virtual std::string Usage() const = 0;
  // One line for the list of commands.
  virtual std::string Summary() const = 0;
  // What its help says between the summary and the flags, in whole lines.
  virtual std::string Details() const { return ""; }
  // The flags beside those of Options. They write into this command, which outlives the set.
  virtual void AddFlags(FlagSet& flags) = 0;
  // Does it, with the arguments that were no flags. Returns an ExitCode, and has said on io.err what went wrong.
  virtual int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) = 0;
};

std::unique_ptr<Command> MakeGenerate();
std::unique_ptr<Command> MakeScore();
std::unique_ptr<Command> MakeClassify();
std::unique_ptr<Command> MakeTokenize();
std::unique_ptr<Command> MakeDetokenize();
std::unique_ptr<Command> MakeDescribe();
std::unique_ptr<Command> MakeSession();
std::unique_ptr<Command> MakeAppend();
std::unique_ptr<Command> MakeChat();
std::unique_ptr<Command> MakeRepl();

// Runs `command` with `words`, its flags and arguments, as typed inside of another command. Returns an ExitCode, and
// has said on io.err what went wrong, words that are no flags included.
int RunWords(Command& command, const std::vector<std::string>& words, const Options& options, Io& io);

}  // namespace barista::cli
