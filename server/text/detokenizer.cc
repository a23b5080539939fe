#include "server/text/detokenizer.h"

#include <string_view>
#include <utility>

#include "server/text/utf8.h"

namespace barista {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, DetokenizerState state)
    : tokenizer_(&tokenizer), state_(std::move(state)) {}

std::string Detokenizer::Push(int32_t id) {
  const Tokenizer::Piece piece = tokenizer_->TextPiece(id, /*at_start=*/!state_.started);
  if (!piece.exists) return {};
  state_.started = true;
  std::string bytes = std::move(state_.pending);
  state_.pending.clear();
  bytes += piece.bytes;

  std::string text;
  text.reserve(bytes.size());
  for (std::string_view rest = bytes; !rest.empty();) {
    const Utf8Unit unit = NextUtf8Unit(rest);
    switch (unit.kind) {
      case Utf8Unit::Kind::kCharacter:
        text += rest.substr(0, unit.size);
        break;
      case Utf8Unit::Kind::kIllFormed:
        text += kReplacementCharacter;
        break;
      case Utf8Unit::Kind::kIncomplete:
        state_.pending = rest;
        break;
    }
    rest.remove_prefix(unit.size);
  }
  return text;
}

std::string Detokenizer::Flush() {
  const bool unfinished = !state_.pending.empty();
  state_ = {};
  return unfinished ? std::string(kReplacementCharacter) : std::string();
}

}  // namespace barista
