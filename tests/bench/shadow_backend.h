// A backend that computes the recurrent state a second time in double, and in float with other sums, from the same
// inputs as the backend it watches. What differs is then the state's own error: of its sums and of the kernels
// that make them, not of the rest of the model.
//
// For one session, in slot 0, one segment a step. One thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "tests/bench/latte_sums.h"
#include "tests/support/forwarding_backend.h"

namespace barista::bench {

// Largest and root mean square of relative errors.
struct Error {
  double largest = 0, squares = 0;
  int64_t count = 0;
  void Add(double error);
  double rms() const;
};

// Over all layers, heads and latents. alpha: relative to itself. readout = vtilde / alpha: the distance of the E values
// from the double ones over their length. h: relative to the root mean square of the layer's h. y: as readout, of the
// rows of Latte's output since the last call.
struct StateErrors {
  Error alpha, readout, h, y;
};

class ShadowBackend : public test::ForwardingBackend {
 public:
  // carries: the other sums to keep beside.
  ShadowBackend(Backend& inner, std::vector<Carry> carries)
      : test::ForwardingBackend(inner), carries_(std::move(carries)) {}

  void Attend(const AttendArgs& args) override { Backend::Attend(args); }  // one after the other
  void Latte(const LatteArgs& args) override;
  void Rglru(const RglruArgs& args) override;

  StateErrors Measure();                        // of the watched backend
  StateErrors MeasureSums(size_t carry) const;  // of that one of `carries`: alpha and readout

  // Keeps the inputs of Latte from here on.
  void Record() { recording_ = true; }
  // Feeds what was recorded to the watched backend and to the double state again and again until the session is
  // `tokens` longer. The double state needs one pass: the maximum no longer moves, so every further one adds the same.
  // No step may follow.
  void Replay(int64_t tokens, bool prefill);
  int64_t recorded() const;  // tokens

 private:
  struct LatteLayer {
    LatteArgs shape;  // sizes, and the watched state
    std::vector<double> max, alpha, vtilde;
    std::vector<LatteSums> sums;                  // beside carries_
    std::vector<float> p, k, v;                   // recorded rows
    std::vector<double> alpha_step, vtilde_step;  // of one replay
  };
  struct RglruLayer {
    const float* watched = nullptr;
    std::vector<double> h, softplus_a;
  };

  // Adds the errors of a float state of the layer.
  static void MeasureLatte(const LatteLayer& layer, const float* max, const float* alpha, const float* vtilde,
                           StateErrors& errors);
  static void RunDouble(LatteLayer& layer, const LatteArgs& args, std::vector<double>& y);
  void RecordRows(LatteLayer& layer, const LatteArgs& args) const;
  LatteArgs ReplayArgs(LatteLayer& layer, const Segment& segment, std::vector<float>& y) const;

  std::vector<Carry> carries_;
  bool recording_ = false;
  int64_t replayed_ = kChunk;                // the position of the next replayed row: past the session's first
  std::map<const void*, LatteLayer> latte_;  // by the address of the watched state
  std::map<const void*, RglruLayer> rglru_;
  Error y_;
};

}  // namespace barista::bench
