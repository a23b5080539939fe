// The ref backend: every operation by its plain loops in double, on the calling thread. Slow, and the truth the others
// are held to; it allocates small temporaries as it goes.
#pragma once

#include <functional>
#include <memory>

#include "kernels/backend.h"

namespace barista {

// `go_on` (may be null) is asked before each row of a matrix product, which is where the time goes: whoever computes
// beside something that matters more can rest there. Once it says no, products are left out, and all results are
// worthless.
std::unique_ptr<Backend> MakeRefBackend(std::function<bool()> go_on = nullptr);

}  // namespace barista
