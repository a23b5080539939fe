"""The metrics equal what the client saw."""
import math

import pytest

from client import Client
from conftest import GOLDEN
from server import Server

HISTOGRAMS = ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
              "request_queue_time_seconds", "request_prefill_time_seconds", "request_decode_time_seconds",
              "request_prompt_tokens", "request_generation_tokens", "step_seconds", "step_tokens", "batch_size")


@pytest.fixture(scope="module")
def seen():
    """(metrics, generations, scores, model) of a server that has answered these and nothing else."""
    with (Server(GOLDEN / "official/lm-transformer", "--backend=cpu", "--sessions_max=8", "--latent_sample_steps=1",
                 "--drift_sample_seconds=0") as server,
          Client(server.address) as client):
        generations = [client.generate(list(range(1, 5 + 40 * i)), {"seed": i}, {"max_tokens": 5 + i},
                                       n=1 + i % 3) for i in range(6)]
        scores = [client.score(range(1, 100)) for _ in range(3)]
        model = client.model()
        yield server.settled(), generations, scores, model


def test_tokens_and_requests(seen):
    metrics, generations, scores, _ = seen
    usages = [x.summary.usage for x in generations] + [x.usage for x in scores]
    assert metrics["barista_prompt_tokens_total"] == sum(u.prompt_tokens for u in usages)
    assert metrics["barista_generation_tokens_total"] == sum(u.generated_tokens for u in usages)
    assert metrics["barista_generation_tokens_total"] == sum(len(c.ids) for g in generations
                                                             for c in g.choices.values())
    assert metrics["barista_drafted_tokens_total"] == metrics["barista_accepted_tokens_total"] == 0
    assert metrics['barista_requests_total{status="ok"}'] == len(usages) + 1  # and GetModel
    assert sum(v for k, v in metrics.items() if k.startswith("barista_requests_total")) == len(usages) + 1
    assert sum(v for k, v in metrics.items() if k.startswith("barista_errors_total")) == 0


def test_histograms(seen):
    metrics, generations, scores, _ = seen
    timings = [g.summary.timings for g in generations] + [s.timings for s in scores]
    choices = sum(len(g.choices) for g in generations)
    generated = metrics["barista_generation_tokens_total"]

    def both(name):
        return metrics[f"barista_{name}_count"], metrics[f"barista_{name}_sum"]
    about = lambda values: pytest.approx(sum(values), rel=1e-4)  # noqa: E731; the text has six digits
    assert both("time_to_first_token_seconds") == (
        len(generations), about(g.summary.timings.time_to_first_token_seconds for g in generations))
    assert both("e2e_request_latency_seconds") == (len(timings), about(t.total_seconds for t in timings))
    assert both("request_queue_time_seconds") == (len(timings), about(t.queue_seconds for t in timings))
    assert both("request_prefill_time_seconds") == (len(timings), about(t.prefill_seconds for t in timings))
    assert both("request_decode_time_seconds") == (len(timings), about(t.decode_seconds for t in timings))
    assert both("request_generation_tokens") == (len(timings), generated)
    assert both("inter_token_latency_seconds")[0] == generated - choices
    # A choice's last token is never fed to the model again, and its first one comes from the prompt's last row.
    assert both("step_tokens")[1] == metrics["barista_prompt_tokens_total"] + generated - choices
    assert both("step_seconds")[0] == both("step_tokens")[0] == both("batch_size")[0] > 0
    for name in HISTOGRAMS:
        buckets = [v for k, v in metrics.items() if k.startswith(f"barista_{name}_bucket")]
        assert buckets == sorted(buckets) and buckets[-1] == both(name)[0]


def test_gauges(seen):
    metrics, _, _, model = seen
    assert metrics["barista_sessions_max"] == 8 == model.memory.sessions_max
    assert metrics["barista_bytes_per_session"] == model.memory.bytes_per_session
    assert metrics["barista_sessions_total_max"] == model.memory.sessions_total_max
    assert metrics['barista_device_memory_bytes{use="weights"}'] == model.memory.weight_bytes
    assert metrics['barista_device_memory_bytes{use="workspace"}'] == model.memory.workspace_bytes
    assert 0 < metrics['barista_device_memory_bytes{use="states"}'] <= 8 * model.memory.bytes_per_session
    assert metrics['barista_state_bytes{tier="device"}'] == 0
    assert metrics["barista_draining"] == metrics["barista_log_lines_dropped_total"] == 0
    assert [v for k, v in metrics.items() if k.startswith("barista_build_info{")] == [1]


def test_latents_and_drift(seen):
    metrics = seen[0]
    latents = seen[3].architecture.latents_per_head
    assert metrics["barista_latent_rows_total"] == metrics["barista_step_tokens_count"]  # a row of each step
    for layer in range(len(seen[3].architecture.layer_types)):
        entropy = metrics[f'barista_latent_entropy{{layer="{layer}"}}']
        effective = metrics[f'barista_effective_latents{{layer="{layer}"}}']
        assert 0 < entropy < math.log(latents) and math.exp(entropy) <= effective * 1.000001 <= latents * 1.000001
    assert not [k for k in metrics if k.startswith("barista_local_mass")]  # no layer has a window
    assert metrics['barista_state_drift_replays_total{outcome="finite"}'] == 0  # off
