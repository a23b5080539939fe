// The one loop: schedule, run, deliver. The engine's thread owns slots, batches and the model; other threads speak to
// it by Submit (a bounded queue in), Call's outbox (a bounded queue out), Call::Cancel and Wake.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/engine/active_call.h"
#include "server/engine/call.h"
#include "server/engine/clock.h"
#include "server/engine/drift_probe.h"
#include "server/engine/engine_group.h"
#include "server/engine/latent_meter.h"
#include "server/engine/prefix_cache.h"
#include "server/engine/scheduler.h"
#include "server/engine/session.h"
#include "server/engine/slots.h"
#include "server/engine/state_cache.h"
#include "server/engine/tenants.h"
#include "server/engine/tiers.h"
#include "server/model/model.h"
#include "server/observe/engine_gauges.h"
#include "server/observe/health.h"
#include "server/observe/metrics.h"
#include "server/text/tokenizer.h"

namespace barista {

struct EngineOptions {
  size_t queue_requests_max = 1024;   // calls of the whole group that wait for a slot; one more is refused
  size_t outbox_events_max = 256;     // events of one call that its reader has not taken; the call pauses there
  double step_target_seconds = 0.04;  // prompts beside running decodes are read in pieces that keep steps near this
  bool poison_freed_slots = false;    // NaN in freed slots (checked builds)
  int64_t positions_max = 0;          // tokens of a session's past, where the model has full attention; 0: no limit
  int64_t checkpoint_bytes = 0;       // EngineGroup's states_bytes, of an engine that is alone
  int64_t rewind_tokens_max = 256;    // that a session can be put back, from kept states
  int64_t prefix_tokens_min = 256;    // the same
  StepClock* step_clock = nullptr;    // told when a step begins and ends; may be null
  int64_t latent_sample_steps = 32;   // from one measured row of p(l|t) to the next; 0: none is measured
  DriftOptions drift;
  TierOptions tiers;  // its workers default to one that does everything at once
  // The engine's thread, once: the device failed for good and all calls were ended with kEngineFailed.
  std::function<void(const absl::Status&)> on_device_failure;
  EngineGroup* group = nullptr;  // of a server with several engines; null: it is alone
  int number = 0;                // in the group
};

class Engine {
 public:
  // All but `tokenizer` (null: no text) are required and outlive the engine.
  Engine(Model& model, StatePool& pool, const Tokenizer* tokenizer, Metrics& metrics, const Clock& clock,
         const EngineOptions& options);
  ~Engine();  // Stop()

  void Start();  // the engine's thread
  // Ends every call with Unavailable(kDraining), then the thread; waits for what workers have in hand. Idempotent.
  void Stop();

  // Before Start: a session whose state lies in the directory.
  struct StoredSession {
    std::string key;
    int64_t tokens = 0;
    WallTime made, used;
    uint64_t epoch = 0;  // of the registry, where there is one
  };
  void Adopt(const StoredSession& stored);

  // Any thread. Errors: kQueueFull, kSessionsMax (n needs more slots than there are), kTenantLimit, kDraining. held:
  // the name of the request's session.
  absl::StatusOr<std::shared_ptr<Call>> Submit(Request request, std::function<void()> on_events,
                                               std::shared_ptr<const SessionHomes::Held> held = nullptr);
  // Any thread. `work` runs on the engine's thread between two steps; in order, and always, at the latest in Stop.
  // Errors: kDraining, and then it does not run.
  absl::Status Post(std::function<void(SessionTable&)> work);
  // Any thread, until Stop has returned: the same also while it drains. Of the engines themselves.
  void PostAlways(std::function<void(SessionTable&)> work);
  // As Post with the session `key`, wherever its state lies; the registry is asked for one that the table lacks.
  absl::Status PostFind(const std::string& key, std::function<void(const absl::StatusOr<Session*>&)> work);
  // The same once the session `key` is in the table with its state in memory; `brought` says why it is not. The status
  // that `work` returns is its own business.
  absl::Status PostFor(const std::string& key, std::function<void(SessionTable&, const absl::Status& brought)> work);
  // The same once the names of new sessions are this server's; `epochs` says why they are not. Where `work` returns an
  // error, the names are given up again.
  absl::Status PostNew(
      std::vector<std::string> keys,
      std::function<absl::Status(SessionTable&, const absl::StatusOr<std::vector<uint64_t>>& epochs)> work);
  // Any thread: something the engine waits for happened (a cancel, room in an outbox).
  void Wake();

  // Any thread: weights and limits of tenants, for what comes from now on. Until the first call there are none.
  void SetTenants(TenantPolicy policy);  // of all engines of the group alike
  // Any thread. From now on Submit refuses with kDraining; calls already in go on.
  void Drain();
  int number() const { return options_.number; }
  Vacancy vacancy() const;  // any thread
  // Any thread. Whether no call waits or runs.
  bool idle() const;
  // Any thread. Its device has failed, or was abandoned: no session's state in it can be told from garbage.
  bool failed() const { return failed_; }
  int64_t sessions() const;                                       // that exist, as of the last step
  int64_t sessions_max() const { return tiers_.sessions_max(); }  // that fit, in all tiers
  // Any thread, where the engine's own hangs in a step: ends all calls with kEngineFailed and refuses new ones. What
  // the engine's thread still tells them, or has to tell, is dropped. The engine is of no use afterwards.
  void Abandon(absl::string_view why);
  // Any other thread, after Start and Drain: ends the calls that still run, with Unavailable(kDraining). Returns when
  // they have ended and all that was posted before has run, so that sessions() is exact.
  void CutOff();
  // Any thread, when no call runs: from now on every session is sent to its store (TierOptions).
  void Park();
  int64_t not_parked() const;  // any thread: how many are not there yet

  // One pass of the loop, for tests that drive the engine by hand instead of Start. False: nothing could be done.
  bool Step();

 private:
  void Run();

  struct Place {
    ActiveCall* active;
    int32_t choice;
  };
  struct Due {  // to be sampled
    ActiveCall* active;
    int32_t choice;
    int32_t rows;  // of the step: one, and one a drafted token
  };

  // The phases of a step, in order.
  bool Prepare();
  void CountAvailable();  // slots for calls without a session
  void RunPosted();
  void TakeSubmitted();
  void Take(ActiveCall active);
  void PostInternal(std::function<void()> work);
  void EndAll(const absl::Status& status);
  void Reap();                                     // ends cancelled and expired calls
  void Admit();                                    // gives slots to waiting calls
  std::deque<ActiveCall>::iterator NextWaiting();  // whose turn it is: of the tenant with the fewest slots by weight
  void RefuseHopeless();                           // calls that want more slots than sessions leave
  int64_t SlotsForCalls() const;                   // free ones, and those of idle sessions that can go
  void Begin(std::unique_ptr<ActiveCall> active);  // an admitted call starts to run
  void AskForSession(ActiveCall active);           // a call on a session comes in
  void Bring(ActiveCall& active);                  // its session's state, to memory; `brought` will tell
  void ServeArriving();                            // calls whose sessions are on their way to a slot
  void TakeSession(std::unique_ptr<ActiveCall> active, Session& session);
  void PutStart(ActiveCall& active);  // the state that the request brought
  absl::Status BeginRewind(ActiveCall& active);
  void ReplayOn(ActiveCall& active);    // a run of a rewind may be done
  void EndRead(ActiveCall& active);     // of a call that draws nothing
  void UsePrefix(ActiveCall& active);   // the longest kept state that the prompt begins with
  void KeepPrefix(ActiveCall& active);  // the state, where it is wanted for later prompts
  void PromptRead(ActiveCall& active);  // all of it is in the state
  void KeepAnchors();
  void ParkSome();  // sessions to their store, once Park asked for it
  void TakeFed();   // what Append calls were fed
  bool Plan();      // false: nothing to run
  void Forward();   // and delivers late tokens beside it
  // run_ahead.cc: what the device may draw in this step without the host, if all of it; the step that was launched
  // ahead, instead of Plan and Forward; whether the next one may be; and what was drawn.
  absl::Span<const SampleRow> Draws();
  void GoOn();
  bool MayGoOn();
  bool MayGoOn(const ActiveCall& active, TimePoint now) const;
  void TakeDrawn();
  void ScorePrompts();
  void AfterForward();
  void SampleAll();
  void SampleTile(absl::Span<const Due> dues);  // whose rows are at most logits_rows_max
  void SampleRows(absl::Span<const Due> dues, const Rows& logits);
  // What the choice draws at `position`.
  static SampleRow RowOf(const ActiveCall& active, int32_t choice, int64_t position);
  void Classify(ActiveCall& active);

  // Events that a step may send for the call.
  static size_t StepEventsMax(const Request& request);
  // How many tokens are drafted for the choice's next step.
  int32_t Draft(const ActiveCall& active, Choice& choice);
  // A drawn token: at once all that the next plan and the state depend on. Then it is delivered, or where it may wait
  // it is late: delivered when the next step is under way.
  void Settle(ActiveCall& active, int32_t choice, SampleResult result);
  bool MayWait(const ActiveCall& active, const Token& token) const;
  void DeliverLate();
  void DeliverLate(ActiveCall& active);
  void Deliver(ActiveCall& active, Token token);
  void ObserveLatency(ActiveCall& active, Choice& choice);
  void AddText(const StopParams& stop, Choice& choice, Token& token);
  void EndChoice(ActiveCall& active, Token last);
  void End(ActiveCall& active, absl::Status status, std::vector<double> class_logits = {});
  void EndNonFinite(ActiveCall& active, absl::string_view where);
  void RemoveEnded();
  // Whether the device failed; the first time it ends all calls that run and refuses new ones.
  bool DeviceFailed();
  void CountQueued();
  void UpdateGauges();
  void CountVacancy();
  // engine_moves.cc: a call that has no slot yet, with its session where it has one: that is at rest in the host's
  // memory. False: `to` is null or takes nothing, or someone else holds the session's name; nothing changed.
  bool MoveTo(Engine* to, ActiveCall* active, Session* session);
  void MoveSurplus();                         // idle sessions beyond those that fit here
  int64_t SlotsKept() const;                  // by sessions that have no room in the tiers below
  void AskElsewhere(const std::string& key);  // for a session that other servers want, and this engine lacks

  Model& model_;
  StatePool& pool_;
  const Tokenizer* tokenizer_;
  Metrics& metrics_;
  const Clock& clock_;
  const EngineOptions options_;
  const std::unique_ptr<EngineGroup> own_group_;  // of an engine that is alone
  EngineGroup& group_;

  mutable absl::Mutex mutex_;
  absl::CondVar wake_;
  std::deque<ActiveCall> submitted_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  std::set<std::shared_ptr<Call>> calls_ ABSL_GUARDED_BY(mutex_);  // submitted and not ended
  int64_t streams_ ABSL_GUARDED_BY(mutex_) = 0;                    // choices of calls_
  int64_t slots_free_ ABSL_GUARDED_BY(mutex_) = 0;                 // as of the last step
  int64_t slots_for_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t slots_asked_ ABSL_GUARDED_BY(mutex_) = 0;   // by calls that had none then, or have come since
  int64_t coming_slots_ ABSL_GUARDED_BY(mutex_) = 0;  // of these, by calls from other engines that are not taken yet
  int64_t coming_over_ ABSL_GUARDED_BY(mutex_) = 0;   // calls and sessions from other engines that are not taken yet
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status device_error_;  // the engine's thread; what calls that do not run yet end with once it is set
  bool parking_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t sessions_count_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t not_parked_ ABSL_GUARDED_BY(mutex_) = 0;  // sessions, while parking_
  std::atomic<bool> failed_ = false;
  std::thread thread_;
  InlineWorker inline_worker_;
  EngineGauges gauges_;

  // The engine's thread only.
  SlotTable slots_;
  Tiers tiers_;
  SessionTable sessions_;
  TenantTable tenants_;
  int64_t slots_available_ = 0;  // as of CountAvailable
  std::deque<ActiveCall> waiting_;
  std::vector<std::unique_ptr<ActiveCall>> arriving_;
  int32_t slots_wanted_ = 0;  // beyond the free ones, in this step
  int64_t coming_up_ = 0;     // sessions in the host's memory that wait for a slot
  std::vector<std::unique_ptr<ActiveCall>> running_;
  PrefillPace pace_;
  LatentMeter latent_meter_;
  DriftProbe drift_probe_;
  uint64_t steps_ = 0;

  // Of the step in hand; kept so that a step allocates nothing.
  StepBudget budget_;
  std::vector<Runnable> runnables_;
  std::vector<Place> places_;  // beside runnables_
  std::vector<Place>
      ready_;  // no token is due: the state is ready to draw from (a session that was appended to or forked)
  std::vector<Scheduled> plan_;
  std::vector<Segment> segments_;  // beside plan_, those of drafted tokens between
  std::vector<int32_t> tokens_;
  std::vector<Due> due_, tile_, reached_;
  std::vector<Due> drawn_;  // rows that the device draws, in order; none: the host has them sampled
  bool ahead_ = false;      // the step after the one in hand is under way, with the same rows
  int ahead_steps_ = 0;     // since the last plan
  std::vector<SampleRow> sample_rows_;
  std::vector<SampleResult> sample_results_;
  std::vector<int32_t> sample_slots_;
  std::vector<int32_t> score_targets_;
};

}  // namespace barista
