#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "barista/v1/model.grpc.pb.h"
#include "clients/cli/call.h"
#include "clients/cli/command.h"
#include "clients/cli/error_report.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/json.h"

namespace barista::cli {
namespace {

void Row(Io& io, absl::string_view name, absl::string_view value) {
  io.out << absl::StrFormat("%-26s%s\n", name, value);
}

// "10 latte, 2 macchiato"
std::string LayerKinds(const v1::Architecture& architecture) {
  std::map<std::string, int> counts;
  for (const int type : architecture.layer_types()) {
    const auto* value = v1::LayerType_descriptor()->FindValueByNumber(type);
    ++counts[value == nullptr ? "unknown" : EnumName(*value)];
  }
  return absl::StrJoin(
      counts, ", ", [](std::string* out, const auto& entry) { absl::StrAppend(out, entry.second, " ", entry.first); });
}

std::string Bytes(uint64_t bytes) {
  constexpr double kMiB = 1024.0 * 1024.0;
  return absl::StrFormat("%d (%.2f MiB)", bytes, static_cast<double>(bytes) / kMiB);
}

void PrintShape(const v1::Model& model, Io& io) {
  const v1::Architecture& shape = model.architecture();
  const auto* task = v1::Task_descriptor()->FindValueByNumber(model.task());
  Row(io, "model", absl::StrCat(model.name(), "  ", model.fingerprint()));
  Row(io, "task", task == nullptr ? "unknown" : EnumName(*task));
  Row(io, "parameters", absl::StrCat(model.parameters(), " in ", model.weight_dtype()));
  Row(io, "layers", LayerKinds(shape));
  Row(io, "hidden size", absl::StrCat(shape.hidden_size()));
  Row(io, "heads",
      absl::StrCat(shape.num_attention_heads(), " query, ", shape.num_key_value_heads(), " key and value, ",
                   shape.head_dim(), " channels each"));
  if (shape.latents_per_head() > 0) Row(io, "latents per head", absl::StrCat(shape.latents_per_head()));
  if (shape.sliding_window() > 0) Row(io, "sliding window", absl::StrCat(shape.sliding_window(), " tokens"));
  if (shape.num_labels() > 0) Row(io, "labels", absl::StrCat(shape.num_labels()));
  Row(io, "vocabulary",
      absl::StrCat(shape.vocab_size(), model.has_tokenizer() ? "" : " (no tokenizer: token ids only)"));
  Row(io, "backend", model.backend().device());
}

void PrintMemory(const v1::Memory& memory, Io& io) {
  io.out << "\nMemory, in bytes\n";
  Row(io, "  weights", Bytes(memory.weight_bytes()));
  Row(io, "  workspace", Bytes(memory.workspace_bytes()));
  Row(io, "  one session", Bytes(memory.bytes_per_session()));
  for (const v1::StateRow& row : memory.state_rows()) {
    Row(io, absl::StrCat("    ", row.component()), absl::StrFormat("%-12d%s", row.bytes(), row.detail()));
  }
  Row(io, "  sessions at most", absl::StrCat(memory.sessions_max()));
}

// A title, then every field that is set, one a line.
void PrintFields(absl::string_view title, const google::protobuf::Message& message, Io& io) {
  const Json fields = MessageJson(message);
  if (fields.empty()) return;
  io.out << "\n" << title << "\n";
  for (const auto& [name, value] : fields.items()) Row(io, absl::StrCat("  ", name), Dump(value));
}

class Describe final : public Command {
 public:
  std::string Usage() const override { return "describe [flags]"; }
  std::string Summary() const override { return "The model that is served, its memory, its limits and defaults."; }
  void AddFlags(FlagSet&) override {}

  int Run(const std::vector<std::string>& arguments, const Options& options, Io& io) override {
    if (!arguments.empty()) {
      return ReportInputError(absl::InvalidArgumentError("describe takes no arguments"), options, io);
    }
    v1::GetModelResponse response;
    const auto stub = v1::ModelService::NewStub(Connect(options));
    const int exit_code = RunCall(options, io, [&](grpc::ClientContext& context) {
      return stub->GetModel(&context, v1::GetModelRequest(), &response);
    });
    if (exit_code != kOk) return exit_code;
    if (options.json) {
      io.out << Dump(MessageJson(response)) << std::endl;
    } else {
      Row(io, "server", absl::StrCat(options.server, ", version ", response.server_version()));
      PrintShape(response.model(), io);
      PrintMemory(response.model().memory(), io);
      PrintFields("Sampling defaults", response.model().sampling_defaults(), io);
      PrintFields("Stop defaults", response.model().stop_defaults(), io);
      PrintFields("Limits", response.model().limits(), io);
      io.out << std::flush;
    }
    return kOk;
  }
};

}  // namespace

std::unique_ptr<Command> MakeDescribe() { return std::make_unique<Describe>(); }

}  // namespace barista::cli
