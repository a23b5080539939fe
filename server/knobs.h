// The table of knobs that config.cc reads flags and files by.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "server/config.h"

namespace barista {

struct TextKnob {
  std::string ServerConfig::*field;
  std::vector<std::string> choices;  // empty: any text
};
struct IntKnob {
  int64_t* (*field)(ServerConfig&);
  int64_t min, max;
};
struct RealKnob {
  double* (*field)(ServerConfig&);
  double min, max;
};
struct BoolKnob {
  bool ServerConfig::*field;
};

struct Knob {
  const char* name;
  const char* help;
  std::variant<TextKnob, IntKnob, RealKnob, BoolKnob> kind;
  bool flag_only = false;
};

const std::vector<Knob>& Knobs();

}  // namespace barista
