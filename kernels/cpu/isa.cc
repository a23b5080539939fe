#include "kernels/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace barista {
namespace {

// Linux hands out the 8 KiB of tile state only to processes that ask (arch_prctl, kernel 5.16 and later).
bool RequestTilePermission() {
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool HasAmx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kAll = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tiles, int8
  return (edx & kAll) == kAll && RequestTilePermission();
}

bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1u << 29)) != 0;
}

CpuIsa Detect() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !HasF16c()) return CpuIsa::kPortable;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return CpuIsa::kAvx2;
  }
  if (!__builtin_cpu_supports("avx512bf16")) return CpuIsa::kAvx512;
  return HasAmx() ? CpuIsa::kAmx : CpuIsa::kAvx512Bf16;
}

}  // namespace

std::string_view Name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      return "portable";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx512Bf16:
      return "avx512bf16";
    case CpuIsa::kAmx:
      return "amx";
  }
  return "?";
}

CpuIsa DetectIsa() {
  static const CpuIsa isa = Detect();
  return isa;
}

absl::StatusOr<CpuIsa> ChooseIsa(absl::string_view name) {
  const std::string wanted(name);
  const CpuIsa best = DetectIsa();
  if (wanted == "auto") return best;
  for (const CpuIsa isa : kAllCpuIsas) {
    if (wanted != Name(isa)) continue;
    if (isa <= best) return isa;
    return absl::FailedPreconditionError(
        absl::StrCat("cpu_isa \"", wanted, "\": this machine lacks it; its best is \"", std::string(Name(best)), "\""));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "cpu_isa \"", wanted, "\" is unknown; one of auto, amx, avx512bf16, avx512, avx2, portable is wanted"));
}

}  // namespace barista
