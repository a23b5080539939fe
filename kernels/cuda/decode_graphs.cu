#include <cuda_runtime.h>

#include <algorithm>
#include <bit>

#include "kernels/cuda/decode_graphs.h"
#include "kernels/cuda/status.h"

namespace barista {

bool AreDecodes(Segments segments) {
  return std::all_of(segments.begin(), segments.end(),
                     [](const Segment& s) { return s.rows == 1 && !s.prefill && s.from < 0; });
}

int64_t GraphRows(int64_t rows) {
  const int64_t step = std::max<int64_t>(static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows - 1))) / 4, 1);
  return (rows + step - 1) / step * step;
}

DecodeGraphs::~DecodeGraphs() {
  for (const auto& [rows, graph] : graphs_) cudaGraphExecDestroy(graph);
}

void DecodeGraphs::BeginCapture(CudaQueue& queue) {
  if (!queue.ok()) return;
  const cudaError_t error = cudaStreamBeginCapture(queue.stream(), cudaStreamCaptureModeThreadLocal);
  if (error != cudaSuccess) queue.Fail(ToStatus(error, "the recording of a step"));
}

void DecodeGraphs::EndCapture(int64_t rows, CudaQueue& queue) {
  if (!queue.ok()) return;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaError_t error = cudaStreamEndCapture(queue.stream(), &graph);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&exec, graph, 0);
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (error != cudaSuccess) return queue.Fail(ToStatus(error, "the recording of a step"));
  graphs_[rows] = exec;
}

void DecodeGraphs::Launch(int64_t rows, CudaQueue& queue) const {
  if (!queue.ok()) return;
  const cudaError_t error = cudaGraphLaunch(graphs_.at(rows), queue.stream());
  if (error != cudaSuccess) queue.Fail(ToStatus(error, "a recorded step"));
}

}  // namespace barista
