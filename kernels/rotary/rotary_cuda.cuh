// Turning heads in a block.
#pragma once

#include "kernels/cuda/device.cuh"

namespace barista {

// Sines, then cosines, of the angles of one position: [2, half].
struct Angles {
  // Element e of the head x, turned by sign times the angles.
  __device__ float Turned(const float* x, int e, float sign) const {
    const int i = e < half ? e : e - half;
    const float sine = sign * of[i], cosine = of[half + i];
    return e < half ? x[e] * cosine - x[e + half] * sine : x[e] * cosine + x[i] * sine;
  }

  // y = x turned, `heads` of them; y may be x. By all threads of the block.
  __device__ void TurnHeads(const float* x, float* y, int heads, float sign) const {
    for (int n = threadIdx.x; n < heads * half; n += blockDim.x) {
      const int head = n / half * 2 * half, i = n % half;
      const float left = Turned(x + head, i, sign), right = Turned(x + head, i + half, sign);
      y[head + i] = left;
      y[head + i + half] = right;
    }
  }

  const float* of;
  int half;
};

// Angle i of a position; computed and reduced in double, for positions of millions.
__device__ inline void ComputeAngle(int64_t position, double theta, int half, int i, float* angles) {
  const double angle = static_cast<double>(position) * pow(theta, -static_cast<double>(i) / static_cast<double>(half));
  angles[i] = static_cast<float>(sin(angle));
  angles[half + i] = static_cast<float>(cos(angle));
}

}  // namespace barista
