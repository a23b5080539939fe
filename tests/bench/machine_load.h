// What else the machine did while a benchmark ran: a table of times says so beside them.
#pragma once

#include <string>

namespace barista::bench {

class MachineLoad {
 public:
  MachineLoad();  // starts the measurement

  // Since then, in cores: "others used 0.03 cores, the host took 0.00". Where /proc/stat cannot be read: "unknown".
  std::string Describe() const;

 private:
  struct Seconds {
    double wall = 0, busy = 0, stolen = 0, own = 0;
  };
  static Seconds Read();
  Seconds begin_;
};

// Resident bytes of this process, from /proc/self/smaps_rollup; -1 where that cannot be read.
long ResidentBytes();

}  // namespace barista::bench
