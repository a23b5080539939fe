// What a model has to move and compute, from its weights and state layout: the numerators of "share of the limit".
#pragma once

#include "server/model/model.h"

namespace barista::bench {

struct Work {
  double bytes = 0;  // moved at least once between memory and a core
  double flops = 0;  // of matrix products, two a multiply-add; state, attention and norms are not counted
};

// One decode step of `batch` sessions whose rings are full: weights once, then for each session its state read and its
// latents, recurrences, last hidden row and one ring row written.
Work DecodeWork(const Model& model, int64_t batch);

// Reading one prompt of `tokens` tokens and making logits of its last row. Bytes are not counted.
Work PrefillWork(const Model& model, int64_t tokens);

// Packed weights that a decode step reads: all but the embedding table.
double WeightBytes(const Model& model);

}  // namespace barista::bench
