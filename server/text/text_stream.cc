#include "server/text/text_stream.h"

#include <utility>

namespace barista {
namespace {

TextStream::Output OutputOf(StopMatcher::Result result) {
  return {.text = std::move(result.text),
          .stopped = result.stop_index.has_value(),
          .stop_index = result.stop_index.value_or(-1)};
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::shared_ptr<const StopStrings> stops,
                       const TextStreamState& state)
    : detokenizer_(tokenizer, state.detokenizer), matcher_(std::move(stops), state.held) {}

TextStream::Output TextStream::Push(int32_t id) { return OutputOf(matcher_.Push(detokenizer_.Push(id))); }

TextStream::Output TextStream::Flush() {
  Output output = OutputOf(matcher_.Push(detokenizer_.Flush()));
  if (!output.stopped) output.text += matcher_.Flush();
  return output;
}

}  // namespace barista
