// Steps of decodes alone, recorded once and launched as one: a CUDA graph for each of some numbers of rows.
#pragma once

#include <cstdint>
#include <map>

#include "kernels/cuda/queue.h"
#include "kernels/view.h"

struct CUgraphExec_st;  // CUDA's own name behind cudaGraphExec_t

namespace barista {

// Whether every segment is one decode of a sequence of its own.
bool AreDecodes(Segments segments);

// The least number of rows, at least `rows`, of which there is a graph: at most a fifth is idle. rows >= 1.
int64_t GraphRows(int64_t rows);

// Used by one thread at a time, the queue's.
class DecodeGraphs {
 public:
  DecodeGraphs() = default;
  ~DecodeGraphs();
  DecodeGraphs(const DecodeGraphs&) = delete;
  DecodeGraphs& operator=(const DecodeGraphs&) = delete;

  // What is queued between the two becomes the graph of `rows` and does not run. Errors stay in the queue.
  void BeginCapture(CudaQueue& queue);
  void EndCapture(int64_t rows, CudaQueue& queue);

  bool Has(int64_t rows) const { return graphs_.contains(rows); }
  // Has(rows).
  void Launch(int64_t rows, CudaQueue& queue) const;

 private:
  std::map<int64_t, CUgraphExec_st*> graphs_;
};

}  // namespace barista
