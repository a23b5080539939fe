// Which vector instructions the CPU kernels use; chosen once, at start.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace barista {

// Ordered: a machine that has one has all below it.
enum class CpuIsa : uint8_t {
  kPortable,    // what every x86-64 has
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL
  kAvx512Bf16,  // and vdpbf16ps
  kAmx,         // and bf16 tiles, with the system's permission to use them
};

inline constexpr CpuIsa kAllCpuIsas[] = {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16,
                                         CpuIsa::kAmx};

std::string_view Name(CpuIsa isa);  // "portable", "avx2", "avx512", "avx512bf16", "amx"

// The best of this machine. Where the machine has AMX, asks the system for the permission (process-wide, once).
CpuIsa DetectIsa();

// "auto" is DetectIsa(). Errors: INVALID_ARGUMENT for an unknown name, FAILED_PRECONDITION for one that this machine
// lacks; both name it.
absl::StatusOr<CpuIsa> ChooseIsa(absl::string_view name);

}  // namespace barista
