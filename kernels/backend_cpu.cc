#include "kernels/backend_cpu.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cores.h"
#include "kernels/cpu/stream_copy.h"
#include "kernels/math/isa.h"
#include "kernels/matmul/self_test.h"

namespace barista {
namespace {

constexpr int kThreadsMax = 1024;
// Work cheaper than this stays on the calling thread; items aim at the second figure.
constexpr double kInlineNs = 6000;
constexpr double kItemNs = 4000;
// Columns are cut at multiples of this, so that every element falls into the same vector lanes however many rows and
// threads there are.
constexpr int64_t kColumnUnit = 64;
constexpr int64_t kStreamBytes = 256 << 10;  // pieces of a large copy

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CpuBackend::Create(const BackendOptions& options) {
  if (options.threads < 0 || options.threads > kThreadsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", options.threads, "; 0 (one a core) to ", kThreadsMax, " is wanted"));
  }
  const absl::StatusOr<CpuIsa> isa = ChooseIsa(options.cpu_isa);
  if (!isa.ok()) return isa.status();
  LimitVectorIsa(*isa);
  const int threads = options.threads > 0 ? options.threads : std::min(UsableCores(), kThreadsMax);
  std::unique_ptr<CpuBackend> backend(new CpuBackend(*isa, threads));
  if (absl::Status status = CheckRowBits(*isa, backend->pool_); !status.ok()) return status;
  return backend;
}

std::string CpuBackend::Describe() const {
  std::string text = absl::StrCat("cpu: ", std::string(Name(isa_)));
  if (isa_ >= CpuIsa::kAvx512Bf16) absl::StrAppend(&text, " (bf16), avx512 (f32, f16)");
  absl::StrAppend(&text, ", ", pool_.threads(), pool_.threads() == 1 ? " thread" : " threads");
  return text;
}

absl::StatusOr<std::unique_ptr<Linear>> CpuBackend::MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                               Quantization quantization) {
  absl::StatusOr<std::unique_ptr<CpuLinear>> linear = CpuLinear::Create(parts, act, quantization, isa_, pool_);
  if (!linear.ok()) return linear.status();
  if (absl::Status status = matmul_.Reserve((*linear)->in()); !status.ok()) return status;
  const size_t scratch = pool_.threads() * (*linear)->out();
  if (sampling_scratch_.size() < scratch) sampling_scratch_.resize(scratch);
  return std::unique_ptr<Linear>(*std::move(linear));
}

Rows CpuBackend::Block::Of(const Rows& matrix) const {
  if (matrix.data == nullptr) return matrix;
  return matrix.Slice(row, rows).Columns(column, columns);
}

void CpuBackend::ForBlocks(int64_t rows, int64_t columns, int64_t unit, double ns, BlockWork work) {
  const double total = static_cast<double>(rows * columns) * ns;
  if (total <= kInlineNs || pool_.threads() == 1) return work(Block{0, rows, 0, columns});
  const int64_t elements = static_cast<int64_t>(std::max(kItemNs, total / (8 * pool_.threads())) / ns);
  const int64_t width = std::min(CeilDiv(elements, unit) * unit, columns);
  const int64_t height = std::clamp<int64_t>(elements / columns, 1, rows);
  const int64_t across = CeilDiv(columns, width);
  pool_.For(across * CeilDiv(rows, height), [&](int64_t item, int) {
    const int64_t row = item / across * height, column = item % across * width;
    work(Block{row, std::min(height, rows - row), column, std::min(width, columns - column)});
  });
}

void CpuBackend::ForPairs(Segments segments, int64_t kv_heads, double ns, PairWork work) {
  const int64_t pairs = static_cast<int64_t>(segments.size()) * kv_heads;
  int64_t rows = 0;
  for (const Segment& segment : segments) rows += segment.rows;
  const double total = static_cast<double>(rows * kv_heads) * ns;
  const auto run = [&](int64_t first, int64_t count) {
    for (int64_t pair = first; pair < first + count; ++pair) {
      size_t segment = pair / kv_heads;
      if (segments[segment].from >= 0) continue;  // a chain is run by its first segment's item, in order
      do {
        work(segments[segment++], pair % kv_heads);
      } while (segment < segments.size() && segments[segment].from >= 0);
    }
  };
  if (total <= kInlineNs || pool_.threads() == 1) return run(0, pairs);
  const int64_t count = std::clamp<int64_t>(static_cast<int64_t>(kItemNs * static_cast<double>(pairs) / total), 1,
                                            CeilDiv(pairs, 4 * pool_.threads()));
  pool_.For(CeilDiv(pairs, count), [&](int64_t i, int) { run(i * count, std::min(count, pairs - i * count)); });
}

void CpuBackend::Embed(const EmbedArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, args.x.cols, args.sinusoidal ? 10 : 0.5, [&](const Block& b) {
    EmbedArgs part = args;
    part.tokens = args.tokens.subspan(b.row, b.rows);
    part.positions = args.positions.subspan(b.row, b.rows);
    part.x = b.Of(args.x);
    EmbedCpu(part);
  });
}

void CpuBackend::Norm(const NormArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, args.x.cols, 0.3, [&](const Block& b) {
    NormArgs part = args;
    part.x = b.Of(args.x);
    part.y = b.Of(args.y);
    NormCpu(part);
  });
}

void CpuBackend::Conv1d(const Conv1dArgs& args) {
  // All rows of a column range, because time runs along them.
  const double ns = 0.3 * static_cast<double>(args.width * args.x.rows);
  ForBlocks(1, args.x.cols, kColumnUnit, ns, [&](const Block& b) { Conv1dCpu(args, b.column, b.column + b.columns); });
}

void CpuBackend::Rglru(const RglruArgs& args) {
  ForBlocks(1, args.x.cols, kColumnUnit, 2.0 * static_cast<double>(args.x.rows),
            [&](const Block& b) { RglruCpu(args, b.column, b.column + b.columns); });
}

void CpuBackend::Rotate(const RotateArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, args.x.cols, 1, [&](const Block& b) {
    RotateArgs part = args;
    part.positions = args.positions.subspan(b.row, b.rows);
    part.x = b.Of(args.x);
    part.y = b.Of(args.y);
    RotateCpu(part);
  });
}

void CpuBackend::GroupSoftmax(const GroupSoftmaxArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, args.group, 0.5, [&](const Block& b) {
    GroupSoftmaxArgs part = args;
    part.x = b.Of(args.x);
    GroupSoftmaxCpu(part);
  });
}

void CpuBackend::Latte(const LatteArgs& args) {
  const double ns = 0.1 * static_cast<double>(args.latents * args.head_dim * (1 + args.heads / args.kv_heads));
  ForPairs(args.segments, args.kv_heads, ns, [&](const Segment& s, int64_t g) { LatteCpu(args, s, g); });
}

void CpuBackend::BidirectionalLatte(const BidirectionalLatteArgs& args) {
  const double ns = 0.1 * static_cast<double>(args.latents * args.head_dim * (1 + args.heads / args.kv_heads));
  ForPairs(args.segments, args.kv_heads, ns, [&](const Segment& s, int64_t g) { BidirectionalLatteCpu(args, s, g); });
}

void CpuBackend::WindowAttention(const WindowAttentionArgs& args) {
  const double ns = 0.1 * static_cast<double>(args.window * args.head_dim * (1 + args.heads / args.kv_heads));
  ForPairs(args.segments, args.kv_heads, ns, [&](const Segment& s, int64_t g) { WindowAttentionCpu(args, s, g); });
}

void CpuBackend::Gelu(const GeluArgs& args) {
  ForBlocks(args.y.rows, args.y.cols, kColumnUnit, 0.5, [&](const Block& b) { GeluCpu({b.Of(args.x), b.Of(args.y)}); });
}

void CpuBackend::Glu(const GluArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, kColumnUnit, 0.5, [&](const Block& b) {
    GluCpu({b.Of(args.value), b.Of(args.gate), b.Of(args.x)});
  });
}

void CpuBackend::Add(const AddArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, kColumnUnit, 0.1, [&](const Block& b) { AddCpu({b.Of(args.x), b.Of(args.y)}); });
}

void CpuBackend::Softcap(const SoftcapArgs& args) {
  ForBlocks(args.x.rows, args.x.cols, kColumnUnit, 0.5, [&](const Block& b) { SoftcapCpu({args.cap, b.Of(args.x)}); });
}

void CpuBackend::Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) {
  const size_t scratch = pool_.threads() * logits.cols;
  if (sampling_scratch_.size() < scratch) sampling_scratch_.resize(scratch);  // a layer that wide was not loaded here
  pool_.For(static_cast<int64_t>(rows.size()), [&](int64_t r, int worker) {
    results[r] = SampleCpu(logits.row<float>(r), logits.cols, rows[r], &sampling_scratch_[worker * logits.cols]);
  });
}

void CpuBackend::Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                          absl::Span<SampleResult> results) {
  pool_.For(static_cast<int64_t>(targets.size()),
            [&](int64_t r, int) { results[r] = LogprobsCpu(logits.row<float>(r), logits.cols, targets[r], k); });
}

void CpuBackend::Fill(void* dst, DType dtype, size_t count, double value) { FillHost(dst, dtype, count, value); }
void CpuBackend::Copy(void* dst, const void* src, size_t bytes) {
  if (bytes < 2 * kStreamBytes) {
    std::memcpy(dst, src, bytes);
    return;
  }
  pool_.For(CeilDiv(static_cast<int64_t>(bytes), kStreamBytes), [&](int64_t item, int) {
    const size_t at = item * kStreamBytes;
    StreamCopy(static_cast<std::byte*>(dst) + at, static_cast<const std::byte*>(src) + at,
               std::min<size_t>(kStreamBytes, bytes - at));
  });
}

void CpuBackend::Upload(void* dst, const void* src, size_t bytes) { std::memcpy(dst, src, bytes); }
void CpuBackend::Download(void* dst, const void* src, size_t bytes) { std::memcpy(dst, src, bytes); }

}  // namespace barista
