// The ref backend: every operation by its plain loops in double, on the calling thread. Slow, and the truth the others
// are held to; it allocates small temporaries as it goes.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace barista {

std::unique_ptr<Backend> MakeRefBackend();

}  // namespace barista
