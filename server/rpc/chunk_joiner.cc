#include "server/rpc/chunk_joiner.h"

#include <utility>

#include "server/rpc/messages.h"

namespace barista {
namespace {

constexpr int kChunkTokensMax = 64;

}  // namespace

ChunkJoiner::ChunkJoiner(const v1::StopParams& stop, bool logprobs)
    : stop_strings_(stop.stop_strings().begin(), stop.stop_strings().end()), logprobs_(logprobs) {}

std::optional<ChunkJoiner::Told> ChunkJoiner::Next(EventPump& pump) {
  std::optional<v1::Chunk> chunk;
  while (true) {
    std::optional<Event> event = held_ ? std::exchange(held_, std::nullopt) : pump.Next();
    if (!event) break;
    auto* token = std::get_if<Token>(&*event);
    if (chunk && (token == nullptr || static_cast<int32_t>(chunk->choice()) != token->choice ||
                  chunk->token_ids_size() >= kChunkTokensMax)) {
      held_ = std::move(event);
      break;
    }
    if (auto* progress = std::get_if<PrefillProgress>(&*event)) return *progress;
    if (auto* logprobs = std::get_if<PromptLogprobs>(&*event)) return std::move(*logprobs);
    if (auto* finished = std::get_if<Finished>(&*event)) return std::move(*finished);
    if (!chunk) chunk.emplace();
    Add(std::move(*token), *chunk);
  }
  if (!chunk) return std::nullopt;
  return *std::move(chunk);
}

void ChunkJoiner::Add(Token token, v1::Chunk& chunk) {
  if (generated_.size() <= static_cast<size_t>(token.choice)) generated_.resize(token.choice + 1);
  chunk.set_choice(token.choice);
  chunk.mutable_text()->append(token.text);
  if (token.id >= 0) {
    chunk.add_token_ids(token.id);
    ++generated_[token.choice];
    if (logprobs_) FillLogprob(token.id, token.logprobs, *chunk.add_logprobs());
  }
  chunk.set_generated_tokens(generated_[token.choice]);
  if (token.finish == FinishReason::kNone) return;
  chunk.set_finish_reason(ToProto(token.finish));
  if (token.finish == FinishReason::kStopString) {
    chunk.set_stop_string(stop_strings_[token.stop_index]);
  } else if (token.finish == FinishReason::kEos || token.finish == FinishReason::kStopToken) {
    chunk.set_stop_token_id(token.id);
  }
}

}  // namespace barista
