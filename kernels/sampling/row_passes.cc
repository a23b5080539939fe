#include "kernels/sampling/row_passes.h"

#include <immintrin.h>

#include <algorithm>
#include <limits>

#include "kernels/dtype.h"
#include "kernels/math/isa.h"

#define BARISTA_KERNEL_FILE "kernels/sampling/row_passes.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

const RowPasses& Passes() { return *Pick(&avx512::kPasses, &avx2::kPasses, &portable::kPasses); }

}  // namespace barista
