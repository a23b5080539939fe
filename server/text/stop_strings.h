// The stop strings of a request, compiled once (Aho-Corasick) and shared, read-only, by the StopMatchers of its
// choices. Finds them in a text byte by byte in time linear in the text, whatever it holds.
#ifndef BARISTA_SERVER_TEXT_STOP_STRINGS_H_
#define BARISTA_SERVER_TEXT_STOP_STRINGS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace barista {

class StopStrings {
 public:
  // Finds nothing.
  StopStrings();
  // InvalidArgument naming the index of a string that is empty or not UTF-8. Memory is linear in the bytes given.
  static absl::StatusOr<StopStrings> Create(absl::Span<const std::string> strings);

  bool empty() const { return strings_.empty(); }

  // A node is the longest part of the text so far that starts a stop string. The text starts at node 0.
  struct Node {
    int32_t suffix = 0;       // node of the longest proper suffix that starts a stop string too
    int32_t depth = 0;        // bytes
    int32_t source = -1;      // a stop string that starts with these `depth` bytes; -1 at the root
    int32_t stop_index = -1;  // the longest stop string that ends here (of equal ones the first), or -1
    int32_t stop_bytes = 0;   // its size
  };
  int32_t Next(int32_t node, uint8_t byte) const;
  const Node& node(int32_t index) const { return nodes_[static_cast<size_t>(index)]; }
  // The bytes that lead from the root to the node.
  std::string_view path(int32_t index) const;

 private:
  const int32_t* Child(int32_t node, uint8_t byte) const;

  std::vector<std::string> strings_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<uint64_t, int32_t> children_;  // node * 256 + byte -> node
};

}  // namespace barista

#endif  // BARISTA_SERVER_TEXT_STOP_STRINGS_H_
