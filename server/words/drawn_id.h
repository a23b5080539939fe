// Ids of sessions and snapshots that their maker does not name.
#pragma once

#include <string>

namespace barista {

// A new id: 16 random hexadecimal digits.
std::string DrawnId();

}  // namespace barista
