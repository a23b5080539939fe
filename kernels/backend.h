// The operations the model may call, on one kind of device. The model holds one Backend, chosen at start; below it
// there is no device switch. Implementations: ref (plain loops in double, the truth), cpu (vectors, threads, packed
// matrices), cuda (joins at this seam).
//
// One thread, the engine's, calls the operations, one after another; results are visible to the next operation. Shapes
// are the caller's contract (the model derives all of them from one validated config), so operations return nothing. No
// operation allocates. Several backends, each with a thread and a device of its own, share nothing. All activations
// have activation_dtype(); slot lists hold no slot twice. Only a device can fail after start: then operations do
// nothing, samples are not finite, and status() says why, for good.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/activation/activation.h"
#include "kernels/attend/attend.h"
#include "kernels/buffer.h"
#include "kernels/conv1d/conv1d.h"
#include "kernels/embedding/embedding.h"
#include "kernels/latte/latte.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/quantize.h"
#include "kernels/norm/norm.h"
#include "kernels/rglru/rglru.h"
#include "kernels/rotary/rotary.h"
#include "kernels/sampling/sampling.h"
#include "kernels/slot_rows/slot_rows.h"
#include "kernels/window_attention/window_attention.h"

namespace barista {

// y = x W^T + b, or y += where accumulate (not with an activation). Calls of one Multiply are independent of each other
// and run together.
struct LinearCall {
  const Linear* weight = nullptr;
  Rows x;  // [R, in]
  Rows y;  // [R, out]; not x
  bool accumulate = false;
  bool for_products = false;  // y is read by the next product and by nothing else; of one call of a Multiply at most
};

// The largest step that a model will ask for.
struct StepSizes {
  int64_t rows = 0;
  int64_t logits_rows = 0;
  int64_t vocab = 0;  // columns of the logits
  int64_t kv_heads = 0, latents = 0, head_dim = 0;
  int64_t recurrent = 0;  // channels of an RG-LRU
  double theta = 0;       // of all turns (AttendArgs); 0: nothing turns
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;     // "ref", "cpu"
  virtual std::string Describe() const = 0;      // one line for people: instruction set, threads
  virtual int threads() const { return 1; }      // that compute
  virtual bool queues() const { return false; }  // operations return when they are queued, before they are done
  virtual absl::Status status() const {
    return absl::OkStatus();
  }                                                   // the engine's thread; INTERNAL once a device failed
  virtual DType activation_dtype() const = 0;         // f64 on ref, f32 on cpu; the recurrent state has it too
  virtual DType ring_dtype(DType weights) const = 0;  // element type of key and value rings for a model of that type

  // A thread that calls operations calls this first, and again after it called another backend's operations or loading.
  // What loads binds its thread by itself; all else may come from a thread that is bound to nothing, or to another.
  virtual void BindThread() {}

  // Loading. parts: at least one, equal `in`, stacked along out; with an activation one, or a gate and an up matrix.
  // Quantised ones are read from any type; the biases are not quantised.
  virtual absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                             Quantization quantization) = 0;
  virtual absl::StatusOr<Buffer> Allocate(size_t bytes, absl::string_view what) = 0;  // zeroed

  // Bytes that are free where Allocate and MakeLinear take theirs; nullopt: that is the host's memory.
  virtual std::optional<int64_t> FreeDeviceBytes() const { return std::nullopt; }

  // After the last MakeLinear, before the first step: memory that steps need beside what the model allocates, in bytes.
  // Errors: RESOURCE_EXHAUSTED; INVALID_ARGUMENT naming a size that this backend does not take.
  virtual absl::StatusOr<int64_t> Reserve(const StepSizes&) { return 0; }

  // The step whose operations follow: they name these very lists. tokens, positions [R]. draws: where every row is a
  // decode and its next token is wanted, [R], each row's; the caller then wants nothing from between the operations.
  // True: they were recorded with their draws, and are done now: no operation follows, and TakeDraws has the tokens.
  virtual bool BeginStep(Segments, absl::Span<const int32_t> /*tokens*/, absl::Span<const int64_t> /*positions*/,
                         absl::Span<const SampleRow> /*draws*/) {
    return false;
  }
  // As Sample's, of the first results.size() draws of such a step, the oldest that were not taken; before the next
  // BeginStep.
  virtual void TakeDraws(absl::Span<SampleResult> /*results*/) {}
  // After such a step, before its draws are taken: the same once more, of the tokens that it draws, each one position
  // further, launched without waiting for them. Rows whose draw ends them (SampleRow), or was not finite, stand still;
  // their next draw is token -1. Their penalties and masks stay what they were. False: not here, nothing was done.
  virtual bool ContinueStep() { return false; }

  // The operations that follow are those of a step of R decodes, each in a sequence of its own; they are recorded and
  // not run, until EndRecording, for every later step of as many or somewhat fewer decodes. The lists may hold
  // anything. False: such steps are not recorded here, and nothing changes. Before the first step.
  virtual bool BeginRecording(Segments, absl::Span<const int32_t> /*tokens*/, absl::Span<const int64_t> /*positions*/) {
    return false;
  }
  // Within a recording: logits [n, V] are those of rows [first, first + n), whose next tokens are drawn from them.
  virtual void Draw(const Rows& /*logits*/, int64_t /*first*/) {}
  virtual void EndRecording() {}

  // The step's operations.
  virtual void Embed(const EmbedArgs& args) = 0;
  virtual void Norm(const NormArgs& args) = 0;
  virtual void Multiply(absl::Span<const LinearCall> calls) = 0;
  // Both, one after the other; every x is the norm's y or columns of it, and that is not the norm's x. At least one
  // call.
  virtual void NormMultiply(const NormArgs& norm, absl::Span<const LinearCall> calls) {
    Norm(norm);
    Multiply(calls);
  }
  virtual void Conv1d(const Conv1dArgs& args) = 0;
  virtual void Rglru(const RglruArgs& args) = 0;
  virtual void Rotate(const RotateArgs& args) = 0;
  virtual void GroupSoftmax(const GroupSoftmaxArgs& args) = 0;
  virtual void Latte(const LatteArgs& args) = 0;
  virtual void BidirectionalLatte(const BidirectionalLatteArgs& args) = 0;
  virtual void WindowAttention(const WindowAttentionArgs& args) = 0;
  virtual void Attend(const AttendArgs& args);  // by the operations above
  virtual void Gelu(const GeluArgs& args) = 0;
  virtual void Glu(const GluArgs& args) = 0;
  virtual void Add(const AddArgs& args) = 0;
  virtual void Softcap(const SoftcapArgs& args) = 0;

  virtual void KeepLastRows(const KeepLastRowsArgs& args) { KeepLastRowsHost(args); }
  virtual void LoadSlotRows(const LoadSlotRowsArgs& args) { LoadSlotRowsHost(args); }

  // logits [R, V]; rows, results [R].
  virtual void Sample(const Rows& logits, absl::Span<const SampleRow> rows, absl::Span<SampleResult> results) = 0;
  // results[r] = log-probability of targets[r] and the k largest of row r.
  virtual void Logprobs(const Rows& logits, absl::Span<const int32_t> targets, int32_t k,
                        absl::Span<SampleResult> results) = 0;

  // Moves between device memory and itself or the host. Upload and Download may also come from other threads, beside
  // the engine's operations, on memory that nobody else uses meanwhile.
  virtual void Fill(void* dst, DType dtype, size_t count, double value) = 0;
  virtual void Copy(void* dst, const void* src, size_t bytes) = 0;      // device to device; 16-byte aligned
  virtual void Upload(void* dst, const void* src, size_t bytes) = 0;    // host to device
  virtual void Download(void* dst, const void* src, size_t bytes) = 0;  // device to host
};

struct BackendOptions {
  std::string kind = "auto";      // cpu, ref, cuda; auto: cuda where this build and machine have it, else cpu
  int threads = 0;                // cpu: worker threads, the caller included; 0 = one a core this process may use
  std::string cpu_isa = "auto";   // cpu: auto, or a lower instruction set than the machine's, for tests: amx,
                                  // avx512bf16, avx512, avx2, portable
  std::string cuda_isa = "auto";  // cuda: auto, or sm_80: products without wgmma where a card has it
  int device = 0;                 // cuda: which card, counted from 0 as CUDA shows them
};

// How many devices a server could use, each with a backend of its own: the cards for cuda, and for auto where it is
// cuda; else 1. At least 1: where there is none, MakeBackend says so.
int DeviceCount(const BackendOptions& options);

// Errors: INVALID_ARGUMENT for an unknown kind, instruction set or device, FAILED_PRECONDITION where this build or
// machine lacks the device.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options);

}  // namespace barista
