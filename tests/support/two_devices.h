// Two devices for tests of several: the shim has them while this lives, a machine has what it has.
#pragma once

#include "kernels/backend_cuda.h"
#include "tests/support/device.h"

namespace barista::test {

class TwoDevices {
 public:
  TwoDevices() {
#ifdef BARISTA_CUDA_SHIM
    shim::SetDevices(2);
#endif
    count_ = CudaBackend::CountDevices();
  }
  ~TwoDevices() {
#ifdef BARISTA_CUDA_SHIM
    shim::SetDevices(1);
#endif
  }
  TwoDevices(const TwoDevices&) = delete;
  TwoDevices& operator=(const TwoDevices&) = delete;

  int count() const { return count_; }  // that there are, which may be one, or none

 private:
  int count_ = 0;
};

}  // namespace barista::test
