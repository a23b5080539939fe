#include "server/text/stop_matcher.h"

#include <cstddef>
#include <utility>

namespace barista {
namespace {

// The first `size` bytes of a and b in a row.
std::string FrontOf(std::string_view a, std::string_view b, size_t size) {
  std::string front(a.substr(0, size));
  return front.append(b.substr(0, size - front.size()));
}

}  // namespace

StopMatcher::StopMatcher(std::shared_ptr<const StopStrings> strings, std::string_view held)
    : strings_(std::move(strings)) {
  Push(held);
}

StopMatcher::Result StopMatcher::Push(std::string_view text) {
  if (stop_index_.has_value()) return {.text = {}, .stop_index = stop_index_};
  const std::string_view held_before = held();
  for (size_t i = 0; i < text.size(); ++i) {
    node_ = strings_->Next(node_, static_cast<uint8_t>(text[i]));
    const StopStrings::Node& node = strings_->node(node_);
    if (node.stop_index < 0) continue;
    stop_index_ = node.stop_index;
    node_ = 0;
    const size_t seen = held_before.size() + i + 1;
    return {.text = FrontOf(held_before, text, seen - static_cast<size_t>(node.stop_bytes)), .stop_index = stop_index_};
  }
  const size_t seen = held_before.size() + text.size();
  return {.text = FrontOf(held_before, text, seen - held().size()), .stop_index = std::nullopt};
}

std::string StopMatcher::Flush() {
  std::string text(held());
  node_ = 0;
  return text;
}

}  // namespace barista
