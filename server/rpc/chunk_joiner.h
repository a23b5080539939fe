// The events of a call as its stream tells them: tokens that wait are joined to one Chunk, so that a slow reader finds
// few large messages. Not thread safe.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "barista/v1/inference.pb.h"
#include "server/rpc/event_pump.h"

namespace barista {

class ChunkJoiner {
 public:
  // `stop`, `logprobs`: what the call asked for.
  ChunkJoiner(const v1::StopParams& stop, bool logprobs);

  using Told = std::variant<v1::Chunk, PrefillProgress, PromptLogprobs, Finished>;
  // What comes next, or nothing now. Finished is the last.
  std::optional<Told> Next(EventPump& pump);

 private:
  void Add(Token token, v1::Chunk& chunk);

  const std::vector<std::string> stop_strings_;
  const bool logprobs_;
  std::optional<Event> held_;        // taken, but of the next chunk or behind it
  std::vector<uint32_t> generated_;  // tokens of each choice so far
};

}  // namespace barista
