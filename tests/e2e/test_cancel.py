"""Callers that leave: by cancel, by a deadline, by a closed connection, by a killed process. Nothing stays behind."""
import concurrent.futures
import random
import subprocess

import grpc
import pytest

from client import Client, failed, greedy, request, until_others_pause
from conftest import GOLDEN
from golden import Golden
from server import CLI, Server, until

MODEL = "official/lm-transformer"
ENDLESS = {"max_tokens": 1 << 20, "ignore_eos": True}
STATUSES = 'barista_requests_total{status="%s"}'


def leave(server, shared, kind, seed):
    """One call that ends by `kind`; what it came to: "ok", or how it left."""
    rng = random.Random(seed)
    prompt = [rng.randrange(256) for _ in range(rng.choice((1, 30, 700)))]
    message = request(prompt, {"seed": seed}, ENDLESS, n=rng.choice((1, 1, 3)))
    if kind == "finish":
        message.stop.max_tokens = rng.randint(1, 30)
        list(shared.inference.Generate(message, timeout=120))
        return "ok"
    if kind == "kill":
        words = ["generate", "--tokens=" + ",".join(map(str, prompt)), "--max_tokens=1000000", "--ignore_eos",
                 f"--server={server.address}"]
        process = subprocess.Popen([CLI, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.read(rng.randint(1, 50))
        process.kill()
        process.wait()
        process.stdout.close()
        return "left"
    if kind == "deadline":
        assert failed(lambda: list(shared.inference.Generate(message, timeout=rng.uniform(0.001, 0.1)))).code == \
            "DEADLINE_EXCEEDED"
        return "unsure"  # it may have passed before the call arrived
    client = Client(server.address) if kind == "disconnect" else shared
    stream = client.inference.Generate(message, timeout=120)
    read = rng.choice((0, 1, 20))
    for _ in range(read):
        next(stream)
    stream.cancel() if kind == "cancel" else client.channel.close()
    return "left" if read else "unsure"


def test_whoever_leaves_frees_everything(full):
    count = 1000 if full else 40
    kinds = ["cancel", "disconnect", "deadline", "finish"]
    with (Server(GOLDEN / MODEL, "--backend=cpu", "--sessions_max=6", "--poison_freed_slots") as server,
          Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(12) as pool):
        # Killed processes are dear on a small machine: a few among the many.
        picked = [(kinds[i % 4] if i % 10 else "kill") for i in range(count)]
        ends = list(pool.map(lambda job: leave(server, client, job[1], job[0]), enumerate(picked)))
        metrics = server.settled()
        by_status = {s: metrics[STATUSES % s] for s in ("ok", "cancelled", "deadline_exceeded")}
        total = sum(v for k, v in metrics.items() if k.startswith("barista_requests_total"))
        assert by_status["ok"] == ends.count("ok")
        assert sum(by_status.values()) == total, {k: v for k, v in metrics.items() if "requests_total" in k and v}
        assert count - ends.count("unsure") <= total <= count
        assert by_status["cancelled"] >= ends.count("left")
        for reason, status in (("cancelled", "cancelled"), ("deadline", "deadline_exceeded")):
            assert metrics['barista_errors_total{reason="%s"}' % reason] == by_status[status]
        assert metrics["barista_e2e_request_latency_seconds_count"] == total
        assert metrics["barista_state_nonfinite_total"] == 0
        data = Golden(MODEL)
        for got in pool.map(lambda _: client.greedy(data.greedy_prompt, 64), range(6)):  # in every slot
            assert got.ids == data.greedy_tokens.tolist()


@pytest.mark.parametrize("seconds", [0.4, 1.3])
def test_a_callers_deadline_counts_as_one(seconds):
    """gRPC's client resets the stream when its time is over, as it does for a cancel; 1.3 s travels rounded up."""
    calls = 6
    with (Server(GOLDEN / MODEL, "--backend=cpu", f"--sessions_max={calls}") as server,
          Client(server.address) as client):
        client.greedy([1], 1)  # connected: all that follow reach the server in good time
        streams = [client.inference.Generate(request([1], {"seed": i}, ENDLESS), timeout=seconds)
                   for i in range(calls)]
        waiting = failed(lambda: client.score([1] * 100_000, timeout=seconds))
        assert {waiting.code, *(failed(lambda s=s: list(s)).code for s in streams)} == {"DEADLINE_EXCEEDED"}
        until(lambda: server.metrics()[STATUSES % "deadline_exceeded"] == calls + 1, what="the count of all")
        metrics = server.settled()
        assert metrics['barista_errors_total{reason="deadline"}'] == calls + 1
        assert metrics[STATUSES % "cancelled"] == 0


def test_a_slow_reader_pauses_itself_alone():
    """It reads one message and no more: its call stops where outbox and transport are full, others go on."""
    tokens = 3000
    with (Server(GOLDEN / MODEL, "--backend=cpu", "--sessions_max=4", "--outbox_events_max=32") as server,
          Client(server.address, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1)) as slow,
          Client(server.address) as client):
        stream = slow.inference.Generate(greedy([1, 2, 3], tokens, logprobs=20), timeout=300)
        first = next(stream)
        assert until_others_pause(server, client) < tokens
        until(lambda: server.metrics()["barista_num_requests_running"] == 1, what="the paused call alone")
        messages = [first, *stream]
        ids = [i for m in messages for i in m.chunk.token_ids]
        assert len(ids) == tokens and messages[-1].WhichOneof("event") == "summary"
        assert ids == client.greedy([1, 2, 3], tokens).ids
        server.settled()


def test_a_slow_reader_that_leaves_frees_its_slot():
    with (Server(GOLDEN / MODEL, "--backend=cpu", "--sessions_max=1", "--outbox_events_max=32") as server,
          Client(server.address, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1)) as slow,
          Client(server.address) as client):
        stream = slow.inference.Generate(request([1], {}, ENDLESS, logprobs=20), timeout=300)
        next(stream)
        waiting = client.inference.Generate(greedy([4], 5), timeout=120)
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
        stream.cancel()
        assert len([i for m in waiting for i in m.chunk.token_ids]) == 5
        until(lambda: server.metrics()[STATUSES % "cancelled"] == 1, what="the count of the one that left")
        assert server.settled()[STATUSES % "cancelled"] == 1


def test_a_cancel_while_waiting_and_a_cancel_while_a_prompt_is_read():
    with (Server(GOLDEN / MODEL, "--backend=cpu", "--sessions_max=1") as server, Client(server.address) as client):
        holder = client.inference.Generate(request([1], {}, ENDLESS), timeout=120)
        next(holder)
        waiting = client.inference.Generate(greedy([2], 5), timeout=120)
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
        waiting.cancel()
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 0, what="its end")
        holder.cancel()
        long = client.inference.Generate(greedy([3] * 200_000, 5), timeout=120)
        assert next(long).WhichOneof("event") == "progress"
        long.cancel()
        until(lambda: server.metrics()[STATUSES % "cancelled"] == 3, what="the count of all")
        metrics = server.settled()
        assert metrics[STATUSES % "cancelled"] == 3
        assert metrics["barista_prompt_tokens_total"] < 200_000
        assert long.code() == grpc.StatusCode.CANCELLED
