#include "tests/bench/machine_load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "tests/bench/limits.h"

namespace barista::bench {

MachineLoad::MachineLoad() : begin_(Read()) {}

MachineLoad::Seconds MachineLoad::Read() {
  Seconds s;
  s.wall = Now();
  std::ifstream file("/proc/stat");
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft_irq = 0, stolen = 0;
  if (file >> word >> user >> nice >> system >> idle >> wait >> irq >> soft_irq >> stolen) {
    const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
    s.busy = (user + nice + system + irq + soft_irq) * tick;
    s.stolen = stolen * tick;
  }
  rusage own = {};
  getrusage(RUSAGE_SELF, &own);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  s.own = seconds(own.ru_utime) + seconds(own.ru_stime);
  return s;
}

std::string MachineLoad::Describe() const {
  const Seconds now = Read();
  const double wall = now.wall - begin_.wall;
  if (now.busy <= 0 || wall <= 0) return "unknown";
  char text[100];
  std::snprintf(text, sizeof(text), "others used %.2f cores, the host took %.2f",
                (now.busy - begin_.busy - (now.own - begin_.own)) / wall, (now.stolen - begin_.stolen) / wall);
  return text;
}

long ResidentBytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    long kibibytes = 0;
    if (std::sscanf(line.c_str(), "Rss: %ld kB", &kibibytes) == 1) return kibibytes * 1024;
  }
  return -1;
}

}  // namespace barista::bench
