// Who calls, and whether they may: the access table's rules held against the access file's keys. Any thread.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/access/access_policy.h"

namespace barista {

struct Caller {
  std::string tenant;
  bool admin = false;
};

class Access {
 public:
  explicit Access(AccessPolicy policy) { Replace(std::move(policy)); }

  // From now on; calls that were let in stay.
  void Replace(AccessPolicy policy);
  std::shared_ptr<const AccessPolicy> policy() const;

  // The caller whose metadata `authorization` has these values: exactly one is wanted, "Bearer KEY". Errors:
  // kUnauthenticated, which never tells of the key that came.
  absl::StatusOr<Caller> CallerOf(absl::Span<const absl::string_view> authorization) const;

  // Whether that caller may call `method`, "/package.Service/Method". Errors: those of CallerOf; kAdminKeyRequired;
  // Unimplemented where there is no such method.
  absl::Status Check(absl::string_view method, absl::Span<const absl::string_view> authorization) const;

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<const AccessPolicy> policy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace barista
