// Element-wise functions between linear layers. gelu is the tanh form everywhere.
#pragma once

#include "kernels/view.h"

namespace barista {

class CudaQueue;
struct StepRows;

enum class Activation { kGelu, kSilu };

// y = act(gate) * up, or act(up) where gate.data is null.  gate, up, y [R, F]; y may be up or gate.
struct MlpActivationArgs {
  Activation act = Activation::kSilu;
  Rows gate;
  Rows up;
  Rows y;
};

// y = gelu(x), the input of a GLU block's two maps.  [R, D]
struct GeluArgs {
  Rows x;
  Rows y;
};

// x += value * sigmoid(gate), the end of a GLU block.  [R, D]
struct GluArgs {
  Rows value;
  Rows gate;
  Rows x;
};

// x += y.  [R, D]
struct AddArgs {
  Rows x;
  Rows y;
};

// x = cap * tanh(x / cap).  [R, V], cap > 0
struct SoftcapArgs {
  double cap = 0;
  Rows x;
};

// p(l|t): in place, x = softmax(scale * x) over each group of `group` columns.  [R, groups * group]
struct GroupSoftmaxArgs {
  double scale = 1;
  int64_t group = 0;
  Rows x;
};

template <class T>
void MlpActivationRef(const MlpActivationArgs& args);
template <class T>
void GeluRef(const GeluArgs& args);
template <class T>
void GluRef(const GluArgs& args);
template <class T>
void AddRef(const AddArgs& args);
template <class T>
void SoftcapRef(const SoftcapArgs& args);
template <class T>
void GroupSoftmaxRef(const GroupSoftmaxArgs& args);

// float; all rows of the views on the calling thread. The backend cuts rows (and, where rows are few, columns).
void MlpActivationCpu(const MlpActivationArgs& args);
void GeluCpu(const GeluArgs& args);
void GluCpu(const GluArgs& args);
void AddCpu(const AddArgs& args);
void SoftcapCpu(const SoftcapArgs& args);
void GroupSoftmaxCpu(const GroupSoftmaxArgs& args);

// float, in the queue's order; all pointers of the device. rows: which ones (cuda/step_rows.h).
void GeluCuda(const GeluArgs& args, CudaQueue& queue);
void GluCuda(const GluArgs& args, CudaQueue& queue);
void AddCuda(const AddArgs& args, CudaQueue& queue);
void SoftcapCuda(const SoftcapArgs& args, CudaQueue& queue);
void GroupSoftmaxCuda(const GroupSoftmaxArgs& args, CudaQueue& queue, const StepRows& rows);

}  // namespace barista
