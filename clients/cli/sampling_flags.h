// Every flag that says how tokens are drawn, written into a GenerateRequest. What a flag does not set stays unset in
// the request, so that the server's default applies. Ranges are the server's to check.
#pragma once

#include "barista/v1/inference.pb.h"
#include "clients/cli/flags.h"

namespace barista::cli {

// `request` outlives `flags`. Used by `generate`, and by /set of the REPL and of `chat`.
void AddSamplingFlags(FlagSet& flags, v1::GenerateRequest& request);
void AddStopFlags(FlagSet& flags, v1::GenerateRequest& request);
void AddSpeculationFlag(FlagSet& flags, v1::GenerateRequest& request);

}  // namespace barista::cli
