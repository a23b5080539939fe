// Turns one stream of token ids into text, piece by piece, never with half a character: bytes of a character that is
// not yet whole wait for the next token. All pieces and the flush together equal Tokenizer::Decode of all ids. The cost
// of a push is linear in the token's own bytes. One thread at a time; the tokenizer must outlive it.
#ifndef BARISTA_SERVER_TEXT_DETOKENIZER_H_
#define BARISTA_SERVER_TEXT_DETOKENIZER_H_

#include <cstdint>
#include <string>

#include "server/text/tokenizer.h"

namespace barista {

// Everything a stream remembers; continuing from a copy gives the same text.
struct DetokenizerState {
  std::string pending;   // at most 3 bytes: the start of a character
  bool started = false;  // a token was seen that is not special (the first one may lose its leading space)
};

class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, DetokenizerState state = {});

  // Whole characters that this token completes; ill-formed bytes become U+FFFD as soon as they are known to be so.
  // Empty for special tokens and ids without a token.
  std::string Push(int32_t id);

  // The end of the stream: U+FFFD if a character was left unfinished, else nothing. Then the stream may start afresh.
  std::string Flush();

  const DetokenizerState& state() const { return state_; }

 private:
  const Tokenizer* tokenizer_;
  DetokenizerState state_;
};

}  // namespace barista

#endif  // BARISTA_SERVER_TEXT_DETOKENIZER_H_
