"""A real Prometheus, while the server works: what it knows equals what the client saw, call by call."""
import bisect
import concurrent.futures
import random

import pytest

from client import Client, failed
from server import until

REFUSED = 7  # calls with a bad field


@pytest.fixture(scope="module")
def seen(server, prometheus, full):
    """The generations of many calls, after Prometheus has seen them all."""
    rng = random.Random(15)
    count = 10_000 if full else 200
    work = [([rng.randrange(3, 300) for _ in range(rng.randrange(1, 80))], rng.randrange(2, 20), rng.choice((1, 1, 2)))
            for _ in range(count)]
    with Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        generations = list(pool.map(lambda w: client.generate(w[0], {"seed": 1}, {"max_tokens": w[1]}, n=w[2]), work))
        for _ in range(REFUSED):
            assert failed(lambda: client.generate([1], {"top_p": 7.0})).reason == "INVALID_FIELD"
    server.settled()
    until(lambda: prometheus.value('barista_requests_total{status="invalid_argument"}') == REFUSED
          and prometheus.value('barista_requests_total{status="ok"}') == count, 60, "a scrape of all of it")
    return generations


def test_the_target_is_up_and_its_page_parses(prometheus, seen):
    [target] = prometheus.targets()
    assert target["health"] == "up" and target["lastError"] == ""
    assert prometheus.value("up") == 1


def test_tokens(prometheus, seen):
    usages = [g.summary.usage for g in seen]
    assert prometheus.value("barista_prompt_tokens_total") == sum(u.prompt_tokens for u in usages)
    assert prometheus.value("barista_cached_tokens_total") == sum(u.cached_tokens for u in usages)
    drawn = sum(len(c.ids) for g in seen for c in g.choices.values())
    assert prometheus.value("barista_generation_tokens_total") == drawn == sum(u.generated_tokens for u in usages)


def test_requests(prometheus, seen):
    by_status = {labels["status"]: value for labels, value in prometheus.query("barista_requests_total > 0")}
    assert by_status == {"ok": len(seen), "invalid_argument": REFUSED}
    by_reason = {labels["reason"]: value for labels, value in prometheus.query("barista_errors_total > 0")}
    assert by_reason == {"invalid_field": REFUSED}
    for name in ("num_requests_running", "num_requests_waiting", 'sessions{tier="device"}'):
        assert prometheus.value(f"barista_{name}") == 0


@pytest.mark.parametrize("name, seconds", [
    ("time_to_first_token_seconds", lambda t: t.time_to_first_token_seconds),
    ("request_queue_time_seconds", lambda t: t.queue_seconds),
    ("request_prefill_time_seconds", lambda t: t.prefill_seconds),
    ("request_decode_time_seconds", lambda t: t.decode_seconds),
    ("e2e_request_latency_seconds", lambda t: t.total_seconds)])
def test_every_bucket_counts_the_calls_that_the_client_was_told_of(prometheus, seen, name, seconds):
    values = sorted(seconds(g.summary.timings) for g in seen)
    buckets = {float(labels["le"]): value for labels, value in prometheus.query(f"barista_{name}_bucket")}
    assert buckets == {bound: bisect.bisect_right(values, bound) for bound in buckets}
    assert prometheus.value(f"barista_{name}_count") == len(seen) == buckets[float("inf")]
    assert prometheus.value(f"barista_{name}_sum") == pytest.approx(sum(values), rel=1e-5)


def test_gaps_are_all_tokens_but_the_first(prometheus, seen):
    gaps = sum(len(c.ids) - 1 for g in seen for c in g.choices.values())
    assert prometheus.value("barista_inter_token_latency_seconds_count") == gaps


def test_lengths(prometheus, seen):
    assert prometheus.value("barista_request_prompt_tokens_sum") == sum(g.summary.usage.prompt_tokens for g in seen)
    assert prometheus.value("barista_request_generation_tokens_sum") == sum(
        g.summary.usage.generated_tokens for g in seen)


def test_the_latents_and_the_drift_are_there(prometheus, seen):
    entropy = dict((labels["layer"], value) for labels, value in prometheus.query("barista_latent_entropy"))
    effective = dict((labels["layer"], value) for labels, value in prometheus.query("barista_effective_latents"))
    local = dict((labels["layer"], value) for labels, value in prometheus.query("barista_local_mass"))
    assert set(entropy) == set(effective) == set(local) == {"0", "1", "2"}
    assert all(0 < x < 3 for x in entropy.values()) and all(1 < x < 20 for x in effective.values())
    assert all(0 < x < 1 for x in local.values())
    until(lambda: prometheus.value('barista_state_drift_replays_total{outcome="finite"}') > 0, 60, "a replay")
    assert 0 < prometheus.value("barista_state_drift_ratio") < 1e-4
    assert prometheus.value('barista_state_drift_replays_total{outcome="not_finite"}') == 0


def test_our_rules_are_evaluated_and_no_alert_fires(prometheus, seen):
    until(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()), 60, "an evaluation of every rule")
    assert [rule["name"] for rule in prometheus.rules() if rule.get("state") == "firing"] == []
