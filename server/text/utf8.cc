#include "server/text/utf8.h"

#include <algorithm>
#include <cstdint>

namespace barista {
namespace {

// Length by lead byte and the bounds of the second byte (Unicode 15, table 3-7). Later bytes are always 80..BF.
struct Lead {
  size_t length;  // 0: no character starts so
  uint8_t second_min, second_max;
};

constexpr Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Unit NextUtf8Unit(std::string_view bytes) {
  const Lead lead = LeadOf(static_cast<uint8_t>(bytes[0]));
  if (lead.length == 0) return {Utf8Unit::Kind::kIllFormed, 1};
  const size_t available = std::min(lead.length, bytes.size());
  for (size_t i = 1; i < available; ++i) {
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    const uint8_t low = i == 1 ? lead.second_min : 0x80;
    const uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (byte < low || byte > high) return {Utf8Unit::Kind::kIllFormed, i};
  }
  return {available < lead.length ? Utf8Unit::Kind::kIncomplete : Utf8Unit::Kind::kCharacter, available};
}

size_t FirstInvalidUtf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Unit unit = NextUtf8Unit(bytes.substr(at));
    if (unit.kind != Utf8Unit::Kind::kCharacter) return at;
    at += unit.size;
  }
  return std::string_view::npos;
}

}  // namespace barista
