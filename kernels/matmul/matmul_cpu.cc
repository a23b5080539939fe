#include "kernels/matmul/matmul_cpu.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/math/scratch.h"

namespace barista {
namespace {

// Activations are packed this many rows at a time, so the room for them is known at load. Large enough that weights
// read again for each such block cost little beside its products.
constexpr int64_t kRowsAtOnce = 512;
// What a pass over the weights keeps of the packed activations, so that they and a panel stay in a core's second-level
// cache: that many bytes, and no more than this depth. Measured on 2 MiB caches, good on 1 MiB.
constexpr int64_t kCachedBytes = 768 << 10;
constexpr int64_t kDepthAtOnce = 2560;
// Calls whose total is cheaper than this run on the calling thread: waking another costs about as much.
constexpr double kInlineNs = 4000;
// What an item should cost: little enough that threads end together, enough to read weights in long stretches.
constexpr double kItemNsMin = 8000;
constexpr double kItemNsMax = 60000;
constexpr double kBytesPerNs = 16;         // rough, one core
constexpr int64_t kScratchFloats = 16384;  // of sums that wait for an activation

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// y[r, i] += bias[i]
void AddBias(const float* bias, int64_t columns, float* y, int64_t rows, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) y[r * y_stride + i] += bias[i];
  }
}

// The depth of one pass: all of it, or even parts. Sums of integers cannot wait in y.
int64_t DepthOfPass(const MatmulKernel& kernel, int64_t depth) {
  if (kernel.layout == WeightLayout::kIntegers) return depth;
  const int64_t part = CeilDiv(depth, CeilDiv(depth, kDepthAtOnce));
  return CeilDiv(part, kernel.chunk) * kernel.chunk;
}

// Whole panels. Between the passes of a long depth the sums wait in y, which changes no bit.
void RunPanels(const MatmulKernel& kernel, PanelRun run) {
  const int64_t pass = run.rows > kernel.row_block ? DepthOfPass(kernel, run.depth) : run.depth;
  for (run.begin = 0; run.begin < run.depth; run.begin = run.end) {
    run.end = std::min(run.begin + pass, run.depth);
    kernel.run(run);
    run.start = nullptr;
  }
}

// The last panel where y has fewer than 32 columns left for it: through a copy, a row block at a time.
void RunPartialPanel(const MatmulKernel& kernel, PanelRun run, int64_t columns) {
  constexpr int64_t kRows = 32;
  float copy[kRows * kPanel];
  float* y = run.y;
  const int64_t y_stride = run.y_stride, rows = run.rows;
  const int64_t step = kRows / kernel.row_block * kernel.row_block;
  run.y = copy;
  run.y_stride = kPanel;
  run.begin = 0;
  run.end = run.depth;
  for (int64_t r = 0; r < rows; r += step) {
    run.rows = std::min(step, rows - r);
    for (int64_t i = 0; i < run.rows && run.start == nullptr; ++i) {
      std::fill(std::copy_n(y + (r + i) * y_stride, columns, copy + i * kPanel), copy + (i + 1) * kPanel, 0.0f);
    }
    kernel.run(run);
    for (int64_t i = 0; i < run.rows; ++i) std::copy_n(copy + i * kPanel, columns, y + (r + i) * y_stride);
    run.x += step * kernel.RowBytes(run.depth);
  }
}

}  // namespace

absl::Status CpuMatmul::Reserve(int64_t in) {
  const size_t bytes = kRowsAtOnce * (in + kChunkBytes) * sizeof(float);
  if (bytes <= room_.size()) return absl::OkStatus();
  absl::StatusOr<Buffer> room = AllocateHost(bytes, "packed activations");
  if (!room.ok()) return room.status();
  room_ = *std::move(room);
  std::memset(room_.data(), 0, room_.size());  // its pages come now, not in the first long prompts
  packed_.reserve(64);
  jobs_.reserve(64);
  return absl::OkStatus();
}

void CpuMatmul::Multiply(absl::Span<const LinearCall> calls) {
  int64_t rows = 0;
  for (const LinearCall& call : calls) rows = std::max(rows, call.x.rows);
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) RunRows(calls, first);
}

const std::byte* CpuMatmul::FindPacked(const MatmulKernel& kernel, const Rows& x) const {
  for (const PackedRows& p : packed_) {
    if (p.kernel->pack == kernel.pack && p.x.data == x.data && p.x.rows == x.rows && p.x.cols == x.cols &&
        p.x.stride == x.stride) {
      return p.packed;
    }
  }
  return nullptr;
}

// Rows [first_row, first_row + kRowsAtOnce) of every call.
void CpuMatmul::RunRows(absl::Span<const LinearCall> calls, int64_t first_row) {
  for (const LinearCall& call : calls) {
    if (call.x.rows <= first_row) continue;
    const auto* weight = static_cast<const CpuLinear*>(call.weight);
    const MatmulKernel& kernel = weight->kernel();
    const Rows x = call.x.Slice(first_row, std::min(kRowsAtOnce, call.x.rows - first_row));
    const std::byte* packed = FindPacked(kernel, x);
    if (packed == nullptr) {
      const size_t bytes = x.rows * kernel.RowBytes(weight->depth());
      if (used_ + bytes > room_.size()) RunJobs();
      packed_.push_back({&kernel, x, room_.data() + used_});
      packed = packed_.back().packed;
      used_ += bytes;
    }
    Job job = {&call, weight, packed, first_row, x.rows, 0, 0, 0, 0};
    Cut(job);
    jobs_.push_back(job);
  }
  RunJobs();
}

// Nanoseconds on one core, roughly.
double CpuMatmul::Cost(const Job& job) {
  const double bytes = static_cast<double>(job.weight->panel_bytes());
  const double flops = 2.0 * kPanel * static_cast<double>(job.rows * job.weight->depth());
  return static_cast<double>(job.weight->panels()) *
         std::max(bytes / kBytesPerNs, flops / job.weight->kernel().flops_per_ns);
}

void CpuMatmul::Cut(Job& job) const {
  const MatmulKernel& kernel = job.weight->kernel();
  const int64_t panels = job.weight->panels(), threads = pool_.threads(), unit = kernel.row_block;
  const int64_t cached = kCachedBytes / kernel.RowBytes(DepthOfPass(kernel, job.weight->depth()));
  job.rows_an_item = std::min(CeilDiv(job.rows, unit), std::max<int64_t>(1, cached / unit)) * unit;

  const double cost = Cost(job);
  const double item_ns = std::clamp(cost / static_cast<double>(16 * threads), kItemNsMin, kItemNsMax);
  const double panel_ns = cost / static_cast<double>(panels * CeilDiv(job.rows, job.rows_an_item));
  job.panels_an_item = std::clamp<int64_t>(static_cast<int64_t>(item_ns / panel_ns), 1, CeilDiv(panels, 4 * threads));
  job.panel_items = CeilDiv(panels, job.panels_an_item);
  // Many rows of a narrow weight: shorter row blocks, so that every thread has some.
  const int64_t row_items = CeilDiv(4 * threads, job.panel_items);
  if (panel_ns > kItemNsMin && CeilDiv(job.rows, job.rows_an_item) < row_items) {
    job.rows_an_item = std::max<int64_t>(1, CeilDiv(job.rows, row_items * unit)) * unit;
  }
  job.items = job.panel_items * CeilDiv(job.rows, job.rows_an_item);
}

// A few panels at a time: gate and up side by side in scratch that stays in the caches, then their product into y.
void CpuMatmul::RunGated(const Job& job, PanelRun run, int64_t first_output, const Rows& y) {
  const CpuLinear& weight = *job.weight;
  const int64_t panels = run.panels, half = weight.panel_outputs();
  const int64_t at_once = std::clamp<int64_t>(kScratchFloats / (run.rows * kPanel), 1, panels);
  Scratch scratch(run.rows * at_once * kPanel, 1);
  run.y_stride = at_once * kPanel;
  run.y = scratch.Take(run.rows * run.y_stride);
  const Rows sums = {run.y, DType::kF32, run.rows, run.y_stride, run.y_stride};
  for (int64_t first = 0; first < panels; first += at_once) {
    run.panels = std::min(at_once, panels - first);
    RunPanels(weight.kernel(), run);
    for (int64_t p = 0; p < run.panels; ++p) {
      const int64_t output = first_output + (first + p) * half, columns = std::min(half, weight.out() - output);
      MlpActivationCpu({*weight.act(), sums.Columns(p * kPanel, columns), sums.Columns(p * kPanel + half, columns),
                        y.Columns(output, columns)});
    }
    run.weights += run.panels * weight.panel_bytes();
    run.start += run.panels * kPanel;
  }
}

void CpuMatmul::RunItem(const Job& job, int64_t item) {
  const CpuLinear& weight = *job.weight;
  const MatmulKernel& kernel = weight.kernel();
  const int64_t row = item / job.panel_items * job.rows_an_item;
  const int64_t panel = item % job.panel_items * job.panels_an_item;
  const int64_t panels = std::min(job.panels_an_item, weight.panels() - panel);
  const float* bias = weight.bias() + panel * kPanel;
  const Rows& y = job.call->y;

  PanelRun run;
  run.weights = weight.panel(panel);
  run.panels = panels;
  run.x = job.x + row * kernel.RowBytes(weight.depth());
  run.rows = std::min(job.rows_an_item, job.rows - row);
  run.depth = weight.depth();
  run.start = bias;
  const Rows rows = y.Slice(job.first_row + row, run.rows);
  if (weight.gated()) return RunGated(job, run, panel * weight.panel_outputs(), rows);

  const int64_t columns = std::min(panels * kPanel, weight.out() - panel * kPanel);
  const Rows block = rows.Columns(panel * kPanel, columns);
  run.panels = columns / kPanel;
  run.y = block.row<float>(0);
  run.y_stride = y.stride;
  if (job.call->accumulate) {
    if (weight.has_bias()) AddBias(bias, columns, run.y, run.rows, run.y_stride);
    run.start = nullptr;
  }
  if (run.panels > 0) RunPanels(kernel, run);
  if (run.panels < panels) {
    const int64_t whole = run.panels * kPanel;
    run.weights += run.panels * weight.panel_bytes();
    run.y += whole;
    if (run.start != nullptr) run.start += whole;
    run.panels = 1;
    RunPartialPanel(kernel, run, columns - whole);
  }
  if (weight.act()) MlpActivationCpu({*weight.act(), {}, block, block});
}

void CpuMatmul::PackAll() {
  for (const PackedRows& p : packed_) {
    const int64_t block = 4 * p.kernel->row_block;
    const int64_t depth = p.kernel->Depth(p.x.cols);
    const auto pack = [&](int64_t row, int64_t rows) {
      p.kernel->pack(p.x.row<float>(row), p.x.stride, rows, p.x.cols, p.packed + row * p.kernel->RowBytes(depth));
    };
    if (p.x.rows * p.x.cols < 65536) {
      pack(0, p.x.rows);
    } else {
      pool_.For(CeilDiv(p.x.rows, block),
                [&](int64_t i, int) { pack(i * block, std::min(block, p.x.rows - i * block)); });
    }
  }
}

void CpuMatmul::RunJobs() {
  PackAll();
  int64_t items = 0;
  double cost = 0;
  for (const Job& job : jobs_) {
    items += job.items;
    cost += Cost(job);
  }
  const auto run = [this](int64_t item, int) {
    size_t j = 0;
    for (; item >= jobs_[j].items; ++j) item -= jobs_[j].items;
    RunItem(jobs_[j], item);
  };
  if (cost < kInlineNs) {
    for (int64_t i = 0; i < items; ++i) run(i, 0);
  } else {
    pool_.For(items, run);
  }
  jobs_.clear();
  packed_.clear();
  used_ = 0;
}

}  // namespace barista
