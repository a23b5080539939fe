#include "server/rpc/model_service.h"

#include "server/model/state_plan.h"
#include "server/rpc/call_record.h"
#include "server/rpc/strict_methods.h"

namespace barista {
namespace {

void FillArchitecture(const ModelConfig& c, v1::Architecture& to) {
  to.set_vocab_size(c.vocab_size);
  to.set_hidden_size(c.hidden_size);
  for (LayerType type : c.layer_types) {
    to.add_layer_types(static_cast<v1::LayerType>(static_cast<int>(type) + 1));  // the same order
  }
  to.set_num_attention_heads(c.num_attention_heads);
  to.set_num_key_value_heads(c.num_key_value_heads);
  to.set_head_dim(c.head_dim);
  to.set_latents_per_head(c.latents_per_head);
  to.set_sliding_window(c.sliding_window);
  to.set_num_labels(c.num_labels);
  to.set_max_position_embeddings(c.max_position_embeddings);
}

void FillMemory(const Serving& s, v1::Memory& to) {
  const StateLayout& layout = s.model.state_layout();
  to.set_bytes_per_session(layout.bytes_per_session());
  for (const StatePlanRow& row : StatePlan(layout)) {
    v1::StateRow& state = *to.add_state_rows();
    state.set_component(row.component);
    state.set_bytes(row.bytes);
    state.set_detail(row.detail);
  }
  to.set_sessions_max(s.slots);
  to.set_weight_bytes(s.model.weights().bytes);
  to.set_workspace_bytes(s.model.workspace_bytes());
  to.set_sessions_total_max(s.sessions_total_max);
  to.set_checkpoint_bytes(s.checkpoint_bytes);
}

void FillLimits(const Limits& l, v1::Limits& to) {
  to.set_prompt_tokens_max(l.prompt_tokens_max);
  to.set_prompt_bytes_max(l.prompt_bytes_max);
  to.set_max_tokens_max(l.max_tokens_max);
  to.set_stop_strings_max(l.stop_strings_max);
  to.set_stop_string_bytes_max(l.stop_string_bytes_max);
  to.set_stop_token_ids_max(l.stop_token_ids_max);
  to.set_logit_bias_entries_max(l.logit_bias_entries_max);
  to.set_n_max(l.n_max);
  to.set_logprobs_max(l.logprobs_max);
  to.set_score_tokens_max(l.score_tokens_max);
  to.set_request_id_bytes_max(l.request_id_bytes_max);
  to.set_queue_requests_max(l.queue_requests_max);
  to.set_deadline_seconds_max(l.deadline_seconds_max);
  to.set_positions_max(l.positions_max);
  to.set_message_bytes_max(l.message_bytes_max);
  to.set_classify_tokens_max(l.classify_tokens_max);
  to.set_rewind_tokens_max(l.rewind_tokens_max);
  to.set_sealed_state_bytes_max(l.sealed_state_bytes_max);
  to.set_speculation_tokens_max(l.speculation_tokens_max);
}

void FillDefaults(const SamplingParams& p, v1::SamplingParams& to) {
  to.set_temperature(p.temperature);
  to.set_top_k(p.top_k);
  to.set_top_p(p.top_p);
  to.set_min_p(p.min_p);
  to.set_typical_p(p.typical_p);
  to.set_repetition_penalty(p.repetition_penalty);
  to.set_presence_penalty(p.presence_penalty);
  to.set_frequency_penalty(p.frequency_penalty);
}

}  // namespace

ModelService::ModelService(const Serving& s) : serving_(s) {
  MarkMethodRawCallback(0, StrictUnary<v1::GetModelRequest, v1::GetModelResponse>(
                               s.metrics, [this](auto* context, auto* request, auto* response) {
                                 return GetModel(context, request, response);
                               }));
  const ModelConfig& c = s.model.config();
  v1::Model& model = *answer_.mutable_model();
  answer_.set_server_version(s.server_version);
  model.set_name(s.model_name);
  model.set_fingerprint(s.fingerprint);
  model.set_task(c.task == Task::kCausalLm ? v1::TASK_CAUSAL_LM : v1::TASK_CLASSIFICATION);
  FillArchitecture(c, *model.mutable_architecture());
  model.set_parameters(s.model.weights().parameters);
  model.set_weight_dtype(std::string(s.model.weights().type_name()));
  model.mutable_backend()->set_kind(s.backend_kind);
  model.mutable_backend()->set_device(s.backend_device);
  model.mutable_backend()->set_threads(s.threads);
  model.mutable_backend()->set_devices(s.devices);
  FillMemory(s, *model.mutable_memory());
  FillLimits(s.limits, *model.mutable_limits());
  model.set_has_tokenizer(s.tokenizer != nullptr);
  if (c.bos_token_id) model.set_bos_token_id(*c.bos_token_id);
  for (int32_t id : c.eos_token_ids) model.add_eos_token_ids(id);
  if (c.pad_token_id) model.set_pad_token_id(*c.pad_token_id);
  FillDefaults(s.sampling_defaults, *model.mutable_sampling_defaults());
  const StopParams stop;
  model.mutable_stop_defaults()->set_max_tokens(stop.max_tokens);
  model.mutable_stop_defaults()->set_min_tokens(stop.min_tokens);
  model.mutable_stop_defaults()->set_ignore_eos(stop.ignore_eos);
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest*,
                                                 v1::GetModelResponse* response) {
  const CallRecord record(*context, "GetModel", serving_.metrics);
  *response = answer_;
  record.End(absl::OkStatus());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();  // once: each call makes a new one
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace barista
