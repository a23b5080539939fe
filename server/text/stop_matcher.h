// Cuts one stream of text before the first stop string, wherever the pieces' borders lie. Text that may be the start of
// a stop string is held back: at most the longest stop string less one byte. The stop string that ends first wins; of
// those that end together, the longest; the result does not depend on how the text was cut into pieces. One thread at a
// time.
#ifndef BARISTA_SERVER_TEXT_STOP_MATCHER_H_
#define BARISTA_SERVER_TEXT_STOP_MATCHER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/text/stop_strings.h"

namespace barista {

class StopMatcher {
 public:
  // `held` is what an earlier matcher of the same strings held back: it continues that stream.
  explicit StopMatcher(std::shared_ptr<const StopStrings> strings, std::string_view held = {});

  struct Result {
    std::string text;               // to be sent; never a part of a stop string
    std::optional<int> stop_index;  // the stop string that ended the text, an index into the request's list
  };
  // `text` must hold whole characters. After a stop: nothing, and the same index, always.
  Result Push(std::string_view text);

  // The end of the stream: gives the held text back.
  std::string Flush();

  // What is held back now.
  std::string_view held() const { return strings_->path(node_); }

 private:
  std::shared_ptr<const StopStrings> strings_;
  int32_t node_ = 0;  // the held text is the path to it, so it needs no copy
  std::optional<int> stop_index_;
};

}  // namespace barista

#endif  // BARISTA_SERVER_TEXT_STOP_MATCHER_H_
