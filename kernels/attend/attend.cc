#include "kernels/attend/attend.h"

#include "kernels/backend.h"

namespace barista {

void Backend::Attend(const AttendArgs& args) { AttendInParts(args, *this); }

}  // namespace barista
