#include "server/model/state.h"

#include <cstring>
#include <limits>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace barista {
namespace {

// Whether any of `count` elements is NaN or infinite, but for `allowed`: all bits of such a one's exponent are set.
template <class Bits>
bool AnySpecial(const char* elements, int64_t count, Bits exponent, Bits allowed) {
  unsigned any = 0;
  for (int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, elements + i * sizeof(Bits), sizeof(Bits));
    any |= static_cast<unsigned>((bits & exponent) == exponent) & static_cast<unsigned>(bits != allowed);
  }
  return any != 0;
}

// allow_minus_inf: of f32 and f64.
bool IsFinite(const char* elements, DType dtype, int64_t count, bool allow_minus_inf) {
  switch (dtype) {
    case DType::kF64:
      return !AnySpecial<uint64_t>(elements, count, 0x7ff0ull << 48, allow_minus_inf ? 0xfff0ull << 48 : 0);
    case DType::kF32:
      return !AnySpecial<uint32_t>(elements, count, 0x7f800000u, allow_minus_inf ? 0xff800000u : 0);
    case DType::kBF16:
      return !AnySpecial<uint16_t>(elements, count, 0x7f80, 0);
    case DType::kF16:
      return !AnySpecial<uint16_t>(elements, count, 0x7c00, 0);
  }
  return false;
}

}  // namespace

std::string_view Name(StateKind kind) {
  switch (kind) {
    case StateKind::kLatentMax:
      return "latent_max";
    case StateKind::kLatentAlpha:
      return "latent_alpha";
    case StateKind::kLatentVtilde:
      return "latent_vtilde";
    case StateKind::kRglruH:
      return "rglru_h";
    case StateKind::kConvInputs:
      return "conv_inputs";
    case StateKind::kKeys:
      return "ring_keys";
    case StateKind::kValues:
      return "ring_values";
    case StateKind::kLastHidden:
      return "last_hidden";
  }
  return "?";
}

StateLayout::StateLayout(const ModelConfig& c, const StateLayoutOptions& options) {
  const int64_t latents = c.num_key_value_heads * c.latents_per_head;
  const int64_t kv = c.num_key_value_heads * c.head_dim;
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const LayerType type = c.layer_types[i];
    ring_rows_.push_back(0);
    if (HasLatents(type) && type != LayerType::kBidirectional) {
      Add(i, StateKind::kLatentMax, options.state_dtype, latents, -std::numeric_limits<double>::infinity());
      Add(i, StateKind::kLatentAlpha, options.state_dtype, latents);
      Add(i, StateKind::kLatentVtilde, options.state_dtype, latents * c.head_dim);
    }
    if (HasRglru(c.qk_mixer)) Add(i, StateKind::kRglruH, options.state_dtype, c.hidden_size);
    if (HasConv(c.qk_mixer)) Add(i, StateKind::kConvInputs, options.state_dtype, (c.conv_width - 1) * c.hidden_size);
    if (HasSoftmaxAttention(type)) {
      ring_rows_.back() = HasWindow(type) ? c.sliding_window : options.max_positions;
      Add(i, StateKind::kKeys, options.ring_dtype, ring_rows_.back() * kv);
      Add(i, StateKind::kValues, options.ring_dtype, ring_rows_.back() * kv);
    }
  }
  Add(-1, StateKind::kLastHidden, options.state_dtype, c.hidden_size);
}

void StateLayout::Add(int64_t layer, StateKind kind, DType dtype, int64_t count, double fill) {
  components_.push_back({layer, kind, dtype, count, slot_bytes_, fill});
  const int64_t bytes = count * static_cast<int64_t>(SizeOf(dtype));
  slot_bytes_ += (bytes + 63) / 64 * 64;
}

int StateLayout::find(int64_t layer, StateKind kind) const {
  for (size_t i = 0; i < components_.size(); ++i) {
    if (components_[i].layer == layer && components_[i].kind == kind) return static_cast<int>(i);
  }
  return -1;
}

absl::StatusOr<StatePool> StatePool::Create(Backend& backend, const StateLayout& layout, int32_t slots) {
  absl::StatusOr<Buffer> memory = backend.Allocate(static_cast<size_t>(layout.slot_bytes()) * slots,
                                                   absl::StrCat("the states of ", slots, " slots"));
  if (!memory.ok()) return memory.status();
  return StatePool(backend, layout, slots, *std::move(memory));
}

SlotArray StatePool::array(int component) const {
  const StateComponent& c = layout_->components()[component];
  return {memory_.data() + c.offset, c.dtype, layout_->slot_bytes()};
}

SlotArray StatePool::array(int64_t layer, StateKind kind) const {
  const int component = layout_->find(layer, kind);
  return component < 0 ? SlotArray{} : array(component);
}

std::string FreshState(const StateLayout& layout) {
  std::string state(layout.slot_bytes(), '\0');
  const auto fill = [&state](const StateComponent& c, auto value) {
    for (int64_t i = 0; i < c.count; ++i) std::memcpy(&state[c.offset + i * sizeof(value)], &value, sizeof(value));
  };
  for (const StateComponent& c : layout.components()) {
    if (c.fill == 0) continue;
    ABSL_RAW_CHECK(c.dtype == DType::kF64 || c.dtype == DType::kF32,
                   "only activations begin with something else than 0");
    c.dtype == DType::kF64 ? fill(c, c.fill) : fill(c, static_cast<float>(c.fill));
  }
  return state;
}

bool IsFinite(const StateLayout& layout, absl::string_view state) {
  for (const StateComponent& c : layout.components()) {
    if (!IsFinite(state.data() + c.offset, c.dtype, c.count, c.kind == StateKind::kLatentMax)) return false;
  }
  return true;
}

void StatePool::Init(int32_t slot) {
  for (const StateComponent& c : layout_->components()) {
    backend_->Fill(memory_.data() + slot * layout_->slot_bytes() + c.offset, c.dtype, c.count, c.fill);
  }
}

void StatePool::Copy(int32_t to, int32_t from) {
  const int64_t bytes = layout_->slot_bytes();
  backend_->Copy(memory_.data() + to * bytes, memory_.data() + from * bytes, bytes);
}

std::string StatePool::Download(int32_t slot) const {
  std::string state(layout_->slot_bytes(), '\0');
  backend_->Download(state.data(), memory_.data() + slot * layout_->slot_bytes(), layout_->slot_bytes());
  return state;
}

void StatePool::Upload(int32_t slot, const void* from) {
  backend_->Upload(memory_.data() + slot * layout_->slot_bytes(), from, layout_->slot_bytes());
}

bool StatePool::LastHiddenIsFinite(int32_t slot) const {
  const StateComponent& c = layout_->components()[layout_->find(-1, StateKind::kLastHidden)];
  std::string row(c.count * SizeOf(c.dtype), '\0');
  backend_->Download(row.data(), memory_.data() + slot * layout_->slot_bytes() + c.offset, row.size());
  return IsFinite(row.data(), c.dtype, c.count, false);
}

void StatePool::Poison(int32_t slot) {
  for (const StateComponent& c : layout_->components()) {
    backend_->Fill(memory_.data() + slot * layout_->slot_bytes() + c.offset, c.dtype, c.count,
                   std::numeric_limits<double>::quiet_NaN());
  }
}

}  // namespace barista
