#include <cuda_runtime.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "kernels/backend_cuda.h"
#include "kernels/cuda/current_device.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/matmul/warpgroups_cuda.h"

namespace barista {
namespace {

__global__ void ProbeKernel() {}

// Kernels that were translated from code for older cards lack the instruction that waits.
bool LaunchesOverlap() {
  cudaFuncAttributes attributes = {};
  return cudaFuncGetAttributes(&attributes, ProbeKernel) == cudaSuccess && attributes.ptxVersion >= 90;
}

// On the thread's device; found out once, for the first of its backends.
absl::StatusOr<bool> WarpgroupsMayMultiply(int device, const CudaCard& card) {
  static std::mutex& mutex = *new std::mutex;
  static std::map<int, bool>& known = *new std::map<int, bool>;
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(device); found != known.end()) return found->second;
  CudaQueue queue(nullptr);
  const absl::StatusOr<bool> alike = WarpgroupsMultiplyAlike(card, queue);
  if (alike.ok()) known[device] = *alike;
  return alike;
}

// The first call of CUDA. From here on a card's kernels are loaded, and translated where it needs that, with its first
// backend: a step must not wait for that, nor a recording.
cudaError_t CountCards(int* cards) {
  setenv("CUDA_MODULE_LOADING", "EAGER", 0);
  return cudaGetDeviceCount(cards);
}

}  // namespace

int CudaBackend::CountDevices() {
  int devices = 0;
  return CountCards(&devices) == cudaSuccess ? devices : 0;
}

absl::StatusOr<std::unique_ptr<Backend>> CudaBackend::Create(const BackendOptions& options) {
  if (options.cuda_isa != "auto" && options.cuda_isa != "sm_80") {
    return absl::InvalidArgumentError(absl::StrCat("cuda_isa is auto or sm_80, not \"", options.cuda_isa, "\""));
  }
  const int device = options.device;
  int devices = 0;
  cudaError_t error = CountCards(&devices);
  if (error != cudaSuccess || devices == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "backend \"cuda\" needs an NVIDIA card and its driver, and there is none here: ", cudaGetErrorString(error),
        " (", cudaGetErrorName(error), ")"));
  }
  if (device < 0 || device >= devices) {
    return absl::InvalidArgumentError(
        absl::StrCat("device is ", device, "; this machine has ", devices, ", counted from 0"));
  }
  cudaDeviceProp card = {};
  error = BindDevice(device);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&card, device);
  if (error != cudaSuccess) return ToStatus(error, absl::StrCat("device ", device));
  CudaCard shape = {.multiprocessors = card.multiProcessorCount, .shared_max = card.sharedMemPerBlockOptin};
  if (options.cuda_isa == "auto" && card.major == 9 && card.minor == 0) {
    const absl::StatusOr<bool> alike = WarpgroupsMayMultiply(device, shape);
    if (!alike.ok()) return alike.status();
    shape.warpgroups = *alike;
  }
  cudaStream_t stream = nullptr, copies = nullptr;
  cudaEvent_t queued = nullptr;
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&copies, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaEventCreateWithFlags(&queued, cudaEventDisableTiming);
  if (error != cudaSuccess) return ToStatus(error, absl::StrCat("device ", device));
  const std::string description = absl::StrCat(
      "cuda: ", card.name, ", compute capability ", card.major, ".", card.minor, ", ", card.multiProcessorCount,
      " multiprocessors, ", card.totalGlobalMem >> 20, " MiB, products by ", shape.warpgroups ? "wgmma" : "mma.sync");
  return std::unique_ptr<Backend>(
      new CudaBackend(device, stream, copies, queued, shape, LaunchesOverlap(), description));
}

CudaBackend::~CudaBackend() {
  const DeviceScope scope(device_);
  cudaStreamSynchronize(queue_.stream());
  cudaEventDestroy(queued_);
  cudaStreamDestroy(copies_);
  cudaStreamDestroy(queue_.stream());
}

absl::Status CudaBackend::Bind() const { return ToStatus(BindDevice(device_), absl::StrCat("device ", device_)); }
void CudaBackend::BindThread() {
  if (absl::Status status = Bind(); !status.ok()) queue_.Fail(std::move(status));
}

absl::StatusOr<std::unique_ptr<Linear>> CudaBackend::MakeLinear(LinearParts parts, std::optional<Activation> act,
                                                                Quantization quantization) {
  if (absl::Status status = Bind(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<CudaLinear>> linear = CudaLinear::Create(parts, act, quantization);
  if (!linear.ok()) return linear.status();
  in_max_ = std::max(in_max_, (*linear)->in());
  return std::unique_ptr<Linear>(*std::move(linear));
}

absl::StatusOr<Buffer> CudaBackend::Allocate(size_t bytes, absl::string_view what) {
  if (absl::Status status = Bind(); !status.ok()) return status;
  return AllocateDevice(bytes, what);
}

std::optional<int64_t> CudaBackend::FreeDeviceBytes() const {
  const DeviceScope scope(device_);
  size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : 0;
}

absl::StatusOr<int64_t> CudaBackend::Reserve(const StepSizes& sizes) {
  const int64_t before = DeviceBytes();
  constexpr int64_t kLatentsMax = 384;  // what a block's shared memory holds of a chunk
  if (sizes.head_dim > kCudaHeadDimMax || sizes.latents > kLatentsMax) {
    return absl::InvalidArgumentError(absl::StrCat("head_dim is ", sizes.head_dim, " and latents_per_head ",
                                                   sizes.latents, "; backend cuda takes at most ", kCudaHeadDimMax,
                                                   " and ", kLatentsMax));
  }
  if (absl::Status status = Bind(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<StepStage>> stage = StepStage::Create(sizes.rows);
  if (!stage.ok()) return stage.status();
  stage_ = *std::move(stage);
  // Every row may be a chunk of its own.
  const int64_t of_row = std::max(LatteWorkspaceBytes(sizes.kv_heads, sizes.latents, sizes.head_dim),
                                  RglruWorkspaceBytes(sizes.recurrent));
  absl::StatusOr<Buffer> workspace = AllocateDevice(sizes.rows * of_row, "the workspace of prefills");
  if (!workspace.ok()) return workspace.status();
  workspace_ = *std::move(workspace);
  theta_ = sizes.theta;
  head_dim_ = sizes.head_dim;
  absl::StatusOr<Buffer> angles = AllocateDevice(sizes.rows * sizes.head_dim * sizeof(float), "angles");
  if (!angles.ok()) return angles.status();
  angles_ = *std::move(angles);
  absl::StatusOr<std::unique_ptr<CudaSampler>> sampler =
      CudaSampler::Create(sizes.logits_rows, sizes.rows, sizes.vocab);
  if (!sampler.ok()) return sampler.status();
  sampler_ = *std::move(sampler);
  const absl::Status matmul = matmul_.Reserve(std::max(sizes.rows, sizes.logits_rows), in_max_);
  if (!matmul.ok()) return matmul;
  return DeviceBytes() - before;
}

bool CudaBackend::BeginStep(Segments segments, absl::Span<const int32_t> tokens, absl::Span<const int64_t> positions,
                            absl::Span<const SampleRow> draws) {
  const int64_t rows = draws.empty() ? 0 : GraphRows(static_cast<int64_t>(draws.size()));
  if (AreDecodes(segments) && graphs_.Has(rows) && sampler_->StageDraws(draws, rows, queue_)) {
    step_ = &stage_->StageDecodes(segments, tokens, positions, rows, queue_);
    graphs_.Launch(rows, queue_);
    sampler_->CollectDraws(queue_);
    return true;
  }
  step_ = &stage_->Stage(segments, tokens, positions, queue_);
  ComputeAngles();
  return false;
}

bool CudaBackend::ContinueStep() {
  sampler_->Advance(*step_, queue_);
  graphs_.Launch(step_->rows, queue_);
  sampler_->CollectDraws(queue_);
  return true;
}

bool CudaBackend::BeginRecording(Segments segments, absl::Span<const int32_t> tokens,
                                 absl::Span<const int64_t> positions) {
  const int64_t rows = static_cast<int64_t>(segments.size());
  if (GraphRows(rows) != rows || graphs_.Has(rows)) return false;
  step_ = &stage_->StageDecodes(segments, tokens, positions, rows, queue_);  // before: its copy is not part of the step
  graphs_.BeginCapture(queue_);
  ComputeAngles();
  return true;
}

void CudaBackend::EndRecording() { graphs_.EndCapture(step_->rows, queue_); }

void CudaBackend::ComputeAngles() {
  if (theta_ > 0) AnglesCuda({step_->positions, static_cast<size_t>(step_->rows)}, head_dim_, theta_, angles(), queue_);
}

void CudaBackend::Embed(const EmbedArgs& args) {
  EmbedArgs on_device = args;
  on_device.tokens = {step_->tokens, args.tokens.size()};
  on_device.positions = {step_->positions, args.positions.size()};
  EmbedCuda(on_device, queue_);
}

void CudaBackend::Attend(const AttendArgs& args) {
  AttendArgs on_device = args;
  on_device.positions = {step_->positions, args.positions.size()};
  const bool packs = args.for_products && step_->prefill_runs == 0;
  const Rows y = args.latte.has_value() ? args.latte->y : args.window.has_value() ? args.window->y : Rows{};
  AttendCuda(on_device, *step_, angles(), workspace(), matmul_.TargetFor(packs ? y : Rows{}), queue_);
}

void CudaBackend::Copy(void* dst, const void* src, size_t bytes) {
  const cudaError_t error = cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, queue_.stream());
  if (error != cudaSuccess) queue_.Fail(ToStatus(error, "a copy on the device"));
}

// After everything that was queued before, beside everything that is queued later. Where that fails, the process ends:
// its caller would take for a session's state, and keep, whatever lies at the other end.
void CudaBackend::Move(void* dst, const void* src, size_t bytes, bool to_device) {
  const std::lock_guard<std::mutex> lock(copies_mutex_);
  const DeviceScope scope(device_);
  const cudaMemcpyKind kind = to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  cudaError_t error = scope.error();
  if (error == cudaSuccess) error = cudaEventRecord(queued_, queue_.stream());
  if (error == cudaSuccess) error = cudaStreamWaitEvent(copies_, queued_, 0);
  if (error == cudaSuccess) error = cudaMemcpyAsync(dst, src, bytes, kind, copies_);
  if (error == cudaSuccess) error = cudaStreamSynchronize(copies_);
  if (error != cudaSuccess) {
    ABSL_RAW_LOG(FATAL, "a copy of %zu bytes %s the device failed: %s", bytes, to_device ? "to" : "from",
                 cudaGetErrorString(error));
  }
}
void CudaBackend::Upload(void* dst, const void* src, size_t bytes) { Move(dst, src, bytes, true); }
void CudaBackend::Download(void* dst, const void* src, size_t bytes) { Move(dst, src, bytes, false); }

}  // namespace barista
