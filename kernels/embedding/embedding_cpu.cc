#include <algorithm>
#include <cstring>

#include "kernels/embedding/embedding.h"
#include "kernels/math/angles.h"
#include "kernels/math/isa.h"
#include "kernels/math/scratch.h"

#define BARISTA_KERNEL_FILE "kernels/embedding/embedding_cpu.inc"
#include "kernels/math/each_isa.inc"

namespace barista {

void EmbedCpu(const EmbedArgs& args) { Pick(avx512::Embed, avx2::Embed, portable::Embed)(args); }

}  // namespace barista
