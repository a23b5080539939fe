#include "server/text/stop_strings.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/text/utf8.h"

namespace barista {
namespace {

uint64_t KeyOf(int32_t node, uint8_t byte) { return static_cast<uint64_t>(node) * 256 + byte; }

}  // namespace

StopStrings::StopStrings() : nodes_(1) {}

absl::StatusOr<StopStrings> StopStrings::Create(absl::Span<const std::string> strings) {
  StopStrings result;
  result.strings_.assign(strings.begin(), strings.end());
  struct Edge {
    int32_t parent, child;
    uint8_t byte;
  };
  std::vector<std::vector<Edge>> edges_by_depth;
  for (size_t i = 0; i < strings.size(); ++i) {
    const std::string& stop = strings[i];
    if (stop.empty()) return absl::InvalidArgumentError(absl::StrCat("stop string ", i, " is empty"));
    const size_t invalid = FirstInvalidUtf8(stop);
    if (invalid != std::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat("stop string ", i, " is not valid UTF-8 at byte ", invalid));
    }
    int32_t at = 0;
    for (const char c : stop) {
      const uint8_t byte = static_cast<uint8_t>(c);
      const auto [child, inserted] =
          result.children_.try_emplace(KeyOf(at, byte), static_cast<int32_t>(result.nodes_.size()));
      if (inserted) {
        const size_t depth = static_cast<size_t>(result.node(at).depth);
        if (edges_by_depth.size() <= depth) edges_by_depth.emplace_back();
        edges_by_depth[depth].push_back({at, child->second, byte});
        result.nodes_.push_back({.depth = static_cast<int32_t>(depth) + 1, .source = static_cast<int32_t>(i)});
      }
      at = child->second;
    }
    Node& end = result.nodes_[static_cast<size_t>(at)];
    if (end.stop_index < 0) {
      end.stop_index = static_cast<int32_t>(i);
      end.stop_bytes = end.depth;
    }
  }
  // Nearer the root first, since a suffix is always shorter.
  for (const std::vector<Edge>& edges : edges_by_depth) {
    for (const Edge& edge : edges) {
      Node& child = result.nodes_[static_cast<size_t>(edge.child)];
      if (edge.parent != 0) child.suffix = result.Next(result.node(edge.parent).suffix, edge.byte);
      if (child.stop_index >= 0) continue;
      child.stop_index = result.node(child.suffix).stop_index;
      child.stop_bytes = result.node(child.suffix).stop_bytes;
    }
  }
  return result;
}

const int32_t* StopStrings::Child(int32_t node, uint8_t byte) const {
  const auto found = children_.find(KeyOf(node, byte));
  return found == children_.end() ? nullptr : &found->second;
}

int32_t StopStrings::Next(int32_t node, uint8_t byte) const {
  while (true) {
    if (const int32_t* child = Child(node, byte)) return *child;
    if (node == 0) return 0;
    node = nodes_[static_cast<size_t>(node)].suffix;
  }
}

std::string_view StopStrings::path(int32_t index) const {
  if (index == 0) return {};
  const Node& at = node(index);
  return std::string_view(strings_[static_cast<size_t>(at.source)]).substr(0, static_cast<size_t>(at.depth));
}

}  // namespace barista
