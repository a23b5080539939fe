// The recurrent state of a session: what lies in a slot, how many bytes that is, and the pool of slots.
// Everything about its size is known from the configuration alone, before anything is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/backend.h"
#include "server/model/config.h"

namespace barista {

enum class StateKind : uint8_t {
  kLatentMax,
  kLatentAlpha,
  kLatentVtilde,
  kRglruH,
  kConvInputs,
  kKeys,
  kValues,
  kLastHidden
};
std::string_view Name(StateKind kind);  // "latent_max", …

// One array of one layer's state. `fill` is the value of every element of a fresh slot: the running maximum of Latte
// starts at -inf, all else at 0.
struct StateComponent {
  int64_t layer = 0;  // -1: of the model as a whole
  StateKind kind = StateKind::kLastHidden;
  DType dtype = DType::kF32;
  int64_t count = 0;   // elements
  int64_t offset = 0;  // bytes from the start of the slot; 64-byte aligned
  double fill = 0;
};

struct StateLayoutOptions {
  DType state_dtype = DType::kF32;  // latents, h, conv inputs, last hidden: the backend's activation type
  DType ring_dtype = DType::kF32;   // key and value rings
  int64_t max_positions = 4096;     // rows of a full_attention layer's rings
};

class StateLayout {
 public:
  StateLayout(const ModelConfig& config, const StateLayoutOptions& options);

  const std::vector<StateComponent>& components() const { return components_; }
  // The component's index, or -1 where that layer has none.
  int find(int64_t layer, StateKind kind) const;

  int64_t slot_bytes() const { return slot_bytes_; }  // on the device, padding included
  // slot_bytes and the host's share: sparse penalty counts of at most kPenaltyIdsMax ids.
  int64_t bytes_per_session() const { return slot_bytes_ + kPenaltyBytes; }
  // Rows of a key and value ring of this layer: the window, or max_positions; 0 without one.
  int64_t ring_rows(int64_t layer) const { return ring_rows_[layer]; }

  static constexpr int64_t kPenaltyIdsMax = 4096;
  static constexpr int64_t kPenaltyBytes = kPenaltyIdsMax * 20;  // id, flag, count (12), order (4), index (4)

 private:
  void Add(int64_t layer, StateKind kind, DType dtype, int64_t count, double fill = 0);

  std::vector<StateComponent> components_;
  std::vector<int64_t> ring_rows_;
  int64_t slot_bytes_ = 0;
};

// An empty session's slot_bytes.
std::string FreshState(const StateLayout& layout);
// Whether the slot_bytes `state` hold neither NaN nor infinity, but for running maxima that are still -inf.
bool IsFinite(const StateLayout& layout, absl::string_view state);

// The memory of all slots, allocated once. Owned by the engine and used by its thread; who may use which slot is
// engine/slots.h's business. A slot's content is undefined until Init or Copy.
class StatePool {
 public:
  static absl::StatusOr<StatePool> Create(Backend& backend, const StateLayout& layout, int32_t slots);

  int32_t slots() const { return slots_; }
  SlotArray array(int64_t layer, StateKind kind) const;
  SlotArray array(int component) const;

  void Init(int32_t slot);              // an empty session
  void Copy(int32_t to, int32_t from);  // fork: one copy of slot_bytes
  void Poison(int32_t slot);            // NaN everywhere: a read of a freed slot shows at once
  // The slot_bytes of a slot, to the host and back. Any thread, while nobody else uses the slot.
  std::string Download(int32_t slot) const;
  void Upload(int32_t slot, const void* from);
  // Of the row that the slot's last token left: not, once anything that the token read or made is not.
  bool LastHiddenIsFinite(int32_t slot) const;
  const StateLayout& layout() const { return *layout_; }

 private:
  StatePool(Backend& backend, const StateLayout& layout, int32_t slots, Buffer memory)
      : backend_(&backend), layout_(&layout), slots_(slots), memory_(std::move(memory)) {}

  Backend* backend_;
  const StateLayout* layout_;
  int32_t slots_;
  Buffer memory_;
};

}  // namespace barista
