// How tokens use the latent states: statistics of p(l|t), the distribution of a token over a head's states (the local
// one included in Macchiato layers), in which the layer's output is mixed. A pure function of p.
#pragma once

#include "kernels/view.h"

namespace barista {

// Means over rows and query heads.
struct LatentUse {
  double entropy = 0;            // -sum_l p(l|t) ln p(l|t), nats: 0 .. ln(states)
  double effective_latents = 0;  // e^entropy of each head: 1 .. states
  double local_mass = 0;         // p(0|t), the window's weight in the mix; 0 where the layer has no local state
};

// p [R, heads * states], float or double, in the host's memory; R >= 1. `local`: column 0 of each head is the local
// state.
LatentUse MeasureLatentUse(const Rows& p, int64_t states, bool local);

}  // namespace barista
