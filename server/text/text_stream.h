// The text of one choice as it is generated: token ids in, whole characters out, cut before the first stop string.
// One thread at a time; the tokenizer must outlive it.
#ifndef BARISTA_SERVER_TEXT_TEXT_STREAM_H_
#define BARISTA_SERVER_TEXT_TEXT_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>

#include "server/text/detokenizer.h"
#include "server/text/stop_matcher.h"
#include "server/text/stop_strings.h"
#include "server/text/tokenizer.h"

namespace barista {

// The text that was generated but not delivered. A stream made from it, with the same stop strings, goes on as if
// nothing had happened.
struct TextStreamState {
  DetokenizerState detokenizer;
  std::string held;  // whole characters that may start a stop string
};

class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::shared_ptr<const StopStrings> stops, const TextStreamState& state = {});

  struct Output {
    std::string text;  // valid UTF-8, may be empty
    bool stopped = false;
    int stop_index = -1;  // into the request's list of stop strings, where stopped
  };
  // After a stop: no text, and the same stop.
  Output Push(int32_t id);

  // The end of generation for any other reason: what was held back. It may complete a stop string that holds U+FFFD.
  Output Flush();

  // The end of a call whose text may go on later: whole characters that were held back for a stop string. The bytes of
  // an unfinished one stay in state().
  std::string Release() { return matcher_.Flush(); }

  TextStreamState state() const { return {.detokenizer = detokenizer_.state(), .held = std::string(matcher_.held())}; }

 private:
  Detokenizer detokenizer_;
  StopMatcher matcher_;
};

}  // namespace barista

#endif  // BARISTA_SERVER_TEXT_TEXT_STREAM_H_
