"""The log: one line a finished call, with what an operator needs and nothing of what a caller wrote; and a reader that
does not read."""
import json
import os
import subprocess
import threading
import time

import grpc
import pytest

from client import Client, failed, inference, session
from conftest import DEMO, TINY
from server import READY, SERVER, Server, until

CANARY = "xylophone"  # in prompts, stop strings, names, keys
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def lines(server, event="call"):
    """What the server logged, all of it JSON."""
    return [line for line in map(json.loads, server.log().splitlines()) if line["event"] == event]


def calls(server, method, count=1):
    """The lines of this method, once there are `count`."""
    return until(lambda: (found := [x for x in lines(server) if x["method"] == method]) and len(found) >= count and found,
                 what=f"a line of {method}")


@pytest.fixture
def server():
    with Server(DEMO, "--backend=cpu", "--sessions_max=8", "--drift_sample_seconds=0.1",
                "--prompt_bytes_max=400") as running:
        yield running


def test_a_call_is_one_line(server):
    with Client(server.address) as client:
        answer = client.generate([1, 2, 3], {"seed": 1}, {"max_tokens": 5})
        assert failed(lambda: client.generate([1], {"top_p": 7.0})).code == "INVALID_ARGUMENT"
        client.model()
        client.score([1, 2, 3])
        with client.session() as name:
            client.append(name, [1, 2, 3])
            client.generate([4], {"seed": 1}, {"max_tokens": 2}, session=name)
    good, bad = calls(server, "Generate", 3)[:2]
    timings = answer.summary.timings
    assert good["status"] == "ok" and "reason" not in good and "trace_id" not in good
    assert (good["prompt_tokens"], good["generated_tokens"]) == (3, 5)
    for field in ("queue_seconds", "prefill_seconds", "decode_seconds"):
        assert good[field] == pytest.approx(getattr(timings, field), rel=1e-6, abs=1e-9)
    assert (bad["status"], bad["reason"]) == ("invalid_argument", "invalid_field")
    assert calls(server, "Append")[0]["prompt_tokens"] == 3
    for method in ("GetModel", "Score", "CreateSession", "DeleteSession"):
        assert calls(server, method)[0]["status"] == "ok"
    known = {"time", "level", "event", "method", "status", "reason", "trace_id", "prompt_tokens", "generated_tokens",
             "cached_tokens", "queue_seconds", "prefill_seconds", "decode_seconds", "seconds"}
    assert all(set(line) <= known for line in lines(server))


def test_the_trace_is_told_where_it_is_valid(server):
    with Client(server.address) as client:
        message = inference.GenerateRequest(stop={"max_tokens": 2})
        message.tokens.ids.append(1)
        for traceparent in (PARENT, PARENT.upper(), "00-canary-xylophone", ""):
            stream = client.inference.Generate(message, metadata=(("traceparent", traceparent),), timeout=30)
            told = dict(stream.initial_metadata()).get("x-trace-id")
            list(stream)
            assert told == (TRACE if traceparent == PARENT else None)
        with pytest.raises(grpc.RpcError):
            client.sessions.GetSession(session.GetSessionRequest(name="sessions/none"),
                                       metadata=(("traceparent", PARENT),), timeout=30)
    assert [line.get("trace_id") for line in calls(server, "Generate", 4)] == [TRACE, None, None, None]
    assert calls(server, "GetSession")[0]["trace_id"] == TRACE


def test_nothing_that_a_caller_wrote_is_logged_or_exported(server):
    text = f"def {CANARY}(n): return {CANARY}"
    errors = []
    with Client(server.address, metadata=(("authorization", f"Bearer {CANARY}"), ("x-tenant", CANARY),
                                          ("traceparent", CANARY))) as client:
        client.generate(text, {"seed": 1}, {"max_tokens": 5, "stop_strings": [CANARY]})
        client.tokenize(text)
        client.create_session(CANARY)
        client.generate(text, {"seed": 1}, {"max_tokens": 5}, session=f"sessions/{CANARY}")
        client.append(f"sessions/{CANARY}", text)
        # Refusals name the field; of a prompt they say no word.
        errors.append(failed(lambda: client.generate(text, {"top_p": 7.0})))
        errors.append(failed(lambda: client.generate(text, None, {"max_tokens": 0})))
        errors.append(failed(lambda: client.generate(text * 20)))
        errors.append(failed(lambda: client.score([1] * 200_000)))
        errors.append(failed(lambda: client.raw("InferenceService/Generate", text.encode())))
        until(lambda: server.metrics()['barista_state_drift_replays_total{outcome="finite"}'] > 0, what="a replay")
        client.delete_session(f"sessions/{CANARY}")
    assert CANARY not in json.dumps([[e.message, e.fields] for e in errors])
    assert CANARY not in str(server.metrics())
    calls(server, "DeleteSession")
    assert CANARY not in server.log()
    drawn_or_read = [line for line in lines(server, "state replayed") if set(line) & {"tokens", "ids", "text"}]
    assert all(isinstance(line["tokens"], int) for line in drawn_or_read)  # how many


def test_a_log_that_nobody_reads_stops_no_call():
    """stderr is a pipe that is full: lines are dropped and counted, calls go on, and the server still ends."""
    read, write = os.pipe()
    process = subprocess.Popen([SERVER, f"--model={TINY}", "--backend=cpu", "--listen=127.0.0.1:0",
                                "--metrics_listen=127.0.0.1:0"], stdout=subprocess.PIPE, stderr=write, text=True)
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b" " * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    os.close(write)
    guard = threading.Timer(120, process.kill)
    guard.start()
    ready = READY.fullmatch(process.stdout.readline())
    unread = Server.__new__(Server)
    unread.metrics_address = ready[2]
    with Client(ready[1]) as client:
        for _ in range(9000):  # more lines than the queue holds
            client.model()
        assert len(client.greedy([1, 2, 3], 50).ids) == 50
        assert unread.metrics()["barista_log_lines_dropped_total"] > 0
    begin = time.monotonic()
    process.terminate()
    assert process.wait(60) == 0, time.monotonic() - begin
    guard.cancel()
    os.close(read)
