#!/usr/bin/env python3
"""The dashboards of this folder, written as panels a line. `python3 deploy/grafana/build.py` writes the JSON files that
Grafana imports; tests/prometheus/test_series.py holds both together."""
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
PICK = '{job=~"$job", instance=~"$instance"}'
WIDTH, HEIGHT, COLUMNS = 8, 8, 3  # of a panel, in Grafana's grid of 24


def series(name, **labels):
    """A selector of what the variables choose; labels: matched as they stand, with their operator ('=~"x"')."""
    matches = "".join(f", {key}{value}" for key, value in labels.items())
    return name + PICK.replace("}", matches + "}")


def rate(name, by="", **labels):
    return f"sum{f' by ({by})' if by else ''} (rate({series(name, **labels)}[$__rate_interval]))"


def total(name, by="", **labels):
    return f"sum{f' by ({by})' if by else ''} ({series(name, **labels)})"


def quantiles(name):
    """Half, most and nearly all of a histogram."""
    return [(f"histogram_quantile({q}, {rate(name + '_bucket', 'le')})", f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)]


def mean(name):
    return f"{rate(name + '_sum')} / {rate(name + '_count')}"


# title, unit, [(expression, legend)], what it means
OVERVIEW = [
    ("Tokens per second", "short", [(rate("barista_generation_tokens_total"), "generated"),
                                    (rate("barista_prompt_tokens_total"), "prompt, computed"),
                                    (rate("barista_cached_tokens_total"), "prompt, from a kept state")],
     "Tokens drawn, read into a state, and not read again because a kept state had them."),
    ("Calls per second by status", "reqps", [(rate("barista_requests_total", "status") + " > 0", "{{status}}")],
     "Every call that ended, by gRPC status."),
    ("Errors per second by reason", "reqps", [(rate("barista_errors_total", "reason") + " > 0", "{{reason}}")],
     "The reason of ErrorInfo: proto/barista/v1/errors.proto says what each means."),
    ("Time to first token", "s", quantiles("barista_time_to_first_token_seconds"),
     "From a call's arrival until its first token is delivered."),
    ("Time between tokens", "s", quantiles("barista_inter_token_latency_seconds"),
     "Every gap between two tokens of one choice."),
    ("Time of a call", "s", quantiles("barista_e2e_request_latency_seconds"), "From arrival to end."),
    ("Where a call's time goes", "s", [(mean("barista_request_queue_time_seconds"), "queue"),
                                       (mean("barista_request_prefill_time_seconds"), "prefill"),
                                       (mean("barista_request_decode_time_seconds"), "decode")],
     "Means: waiting for a slot, reading the prompt, drawing tokens."),
    ("Calls running and waiting", "short", [(total("barista_num_requests_running"), "running"),
                                            (total("barista_num_requests_waiting"), "waiting")],
     "Calls that hold a slot, and calls that wait for one."),
    ("Refusals per second", "reqps", [(rate("barista_admission_refusals_total", "reason") + " > 0", "{{reason}}")],
     "Calls refused before they waited."),
    ("Time of a step", "s", quantiles("barista_step_seconds"),
     "One forward pass for all running calls. It does not grow with the length of a session."),
    ("Batch", "short", [(mean("barista_batch_size"), "sequences a step"), (mean("barista_step_tokens"), "tokens a step")],
     "Means over steps."),
    ("Length of calls", "short", [(mean("barista_request_prompt_tokens"), "prompt tokens"),
                                  (mean("barista_request_generation_tokens"), "generated tokens")],
     "Means over calls that ended."),
    ("Speculation", "percentunit", [(f"{rate('barista_accepted_tokens_total')} / {rate('barista_drafted_tokens_total')}",
                                     "accepted of drafted")],
     "Drafted tokens that were drawn. Empty where nobody asks for drafts."),
    ("Objectives: slow share", "percentunit", [
        ('job:barista_first_token_slow:ratio_rate5m{job=~"$job"}', "first token > 2.5 s"),
        ('job:barista_gap_slow:ratio_rate5m{job=~"$job"}', "gap > 100 ms")],
     "Of the rules in deploy/prometheus/rules.yml; both objectives are 1 %."),
    ("Memory of the device", "bytes", [(total("barista_device_memory_bytes", "use"), "{{use}}")],
     "Taken at start: weights, workspace, slots."),
    ("Servers", "short", [('count by (version, backend, model) (barista_build_info{job=~"$job"})',
                           "{{model}} {{version}} {{backend}}"),
                          (total("barista_draining"), "draining")], "What runs, and how many of them are leaving."),
    ("Log lines dropped per second", "short", [(rate("barista_log_lines_dropped_total"), "dropped")],
     "Nobody reads the log fast enough."),
]

IN_SLOTS = total("barista_sessions", tier='="device"')
SESSIONS = [
    ("Sessions by tier", "short", [(total("barista_sessions", "tier"), "{{tier}}")],
     "Where their states lie. device: slots in use, calls without a session included."),
    ("Slots in use", "percentunit", [(f"{IN_SLOTS} / {total('barista_sessions_max')}", "slots")],
     "The signal to scale on."),
    ("Places in use", "percentunit", [(f"{total('barista_sessions')} / {total('barista_sessions_total_max')}", "places")],
     "Over all tiers. At 1 no session can be made."),
    ("Bytes of states by tier", "bytes", [(total("barista_state_bytes", "tier"), "{{tier}}"),
                                          (total("barista_checkpoint_bytes"), "kept for rewinds and prefixes")],
     "Each session takes the same, at any position."),
    ("Bytes of a session", "bytes", [(series("barista_bytes_per_session"), "{{instance}}")], "Known before the start."),
    ("Sessions that went down, per second", "short", [(rate("barista_evictions_total", "tier"), "to {{tier}}")],
     "The longest unused make room for others."),
    ("Sessions that came up, per second", "short", [(rate("barista_returns_total", "tier"), "from {{tier}}"),
                                                    (rate("barista_session_moves_total"), "on another device")],
     "Used again. Where both are high, slots are too few: sessions only swap places."),
    ("Snapshots, restores, forks, rewinds, per second", "short", [
        (rate("barista_snapshots_total"), "snapshots"), (rate("barista_restores_total"), "restores"),
        (rate("barista_forks_total"), "forks"), (rate("barista_rewinds_total"), "rewinds")], "What callers do with states."),
    ("Stores that failed, per second", "short", [(rate("barista_store_failures_total", "store"), "{{store}}"),
                                                 (rate("barista_sessions_fenced_total"), "taken by another server")],
     "Nothing is lost by either: the session stays, or lives elsewhere."),
]

LAYERS = "avg by (layer) ({})"
MODEL = [
    ("Entropy of p(l|t), nats", "short", [(LAYERS.format(series("barista_latent_entropy")), "layer {{layer}}")],
     "How evenly a token uses a head's latent states, the local one included. 0: one state alone."),
    ("Effective latents", "short", [(LAYERS.format(series("barista_effective_latents")), "layer {{layer}}")],
     "exp of the entropy: states that count. Near 1 in every layer, the latents have collapsed."),
    ("Local mass", "percentunit", [(LAYERS.format(series("barista_local_mass")), "layer {{layer}}")],
     "p(0|t), what the sliding window gets of the mix. Near 1, the layer ignores what lies beyond the window."),
    ("Measured tokens per second", "short", [(rate("barista_latent_rows_total"), "tokens")],
     "How many tokens stand behind the three panels (--latent_sample_steps)."),
    ("Drift of the state", "percentunit", [(series("barista_state_drift_ratio"), "{{instance}}")],
     "Relative error of a served state against a replay of its tokens in float64; about 1e-6 in float32, 1e-2 in bfloat16."),
    ("Replays in float64, per hour", "short", [
        (f"sum by (outcome) (increase({series('barista_state_drift_replays_total')}[1h]))", "{{outcome}}")],
     "--drift_sample_seconds says how often at most."),
    ("Processor time of replays", "percentunit", [(rate("barista_state_drift_cpu_seconds_total"), "of a core")],
     "At most 3 % of a core while one runs."),
    ("Values that are not finite, per hour", "short", [
        (f"sum by (instance) (increase({series('barista_state_nonfinite_total')}[1h]))", "{{instance}}")],
     "Each ended one call, and its session, alone."),
]

DASHBOARDS = {"overview": ("Barista: overview", OVERVIEW), "sessions": ("Barista: sessions and tiers", SESSIONS),
              "model": ("Barista: the model's latents", MODEL)}


def panel(number, title, unit, targets, description):
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1, "type": "timeseries", "title": title, "description": description, "datasource": source,
        "gridPos": {"w": WIDTH, "h": HEIGHT, "x": number % COLUMNS * WIDTH, "y": number // COLUMNS * HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"showPoints": "never"}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [{"refId": chr(65 + i), "expr": expr, "legendFormat": legend, "datasource": source}
                    for i, (expr, legend) in enumerate(targets)],
    }


def variable(name, query):
    return {"name": name, "type": "query", "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": {"query": query, "refId": name}, "definition": query, "multi": True, "includeAll": True,
            "allValue": ".*", "current": {"selected": True, "text": "All", "value": "$__all"}, "refresh": 2, "sort": 1}


def dashboard(name):
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"barista-{name}", "title": title, "tags": ["barista"], "schemaVersion": 38, "editable": True,
        "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timezone": "",
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "data source"},
            variable("job", "label_values(barista_build_info, job)"),
            variable("instance", 'label_values(barista_build_info{job=~"$job"}, instance)')]},
        "panels": [panel(i, *row) for i, row in enumerate(panels)],
    }


def text(name):
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (HERE / f"{each}.json").write_text(text(each))
