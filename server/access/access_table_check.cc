// Run by the build: exits 1 and says why where a method of a service that is linked into the server has no rule in the
// access table, has two, or where a rule names a method that there is none of.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor_database.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "barista/v1/inference.pb.h"
#include "barista/v1/model.pb.h"
#include "barista/v1/session.pb.h"
#include "barista/v1/tokenizer.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "server/access/access_table.h"

namespace barista {
namespace {

// Of the files that are linked in; none is left out because a list forgot it.
std::vector<std::string> MethodsLinkedIn() {
  v1::GenerateRequest::descriptor();
  v1::GetModelRequest::descriptor();
  v1::CreateSessionRequest::descriptor();
  v1::TokenizeRequest::descriptor();
  grpc::health::v1::HealthCheckRequest::descriptor();
  std::vector<std::string> files, methods;
  google::protobuf::DescriptorPool::internal_generated_database()->FindAllFileNames(&files);
  for (const std::string& name : files) {
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
    for (int s = 0; file != nullptr && s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        methods.push_back(absl::StrCat(file->service(s)->full_name(), "/", file->service(s)->method(m)->name()));
      }
    }
  }
  return methods;
}

int Check() {
  int wrong = 0;
  const auto say = [&](absl::string_view method, const char* what) {
    std::fprintf(stderr, "server/access/access_table.cc: %s: %s\n", std::string(method).c_str(), what);
    ++wrong;
  };
  std::map<std::string, int> rules;
  for (const AccessTableRow& row : AccessTable()) ++rules[std::string(row.method)];
  for (const auto& [method, count] : rules) {
    if (count > 1) say(method, "has two rules");
  }
  const std::vector<std::string> methods = MethodsLinkedIn();
  for (const std::string& method : methods) {
    if (rules.erase(method) == 0) say(method, "has no rule: who may call it?");
  }
  for (const auto& [method, count] : rules) say(method, "has a rule, but there is no such method");
  if (methods.empty()) say("(none)", "no service is linked in");
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace barista

int main() { return barista::Check(); }
