"""SessionService: names, lists, room, and calls that meet on one session."""
import concurrent.futures
import random
import re
import threading

import grpc
import pytest

from client import Client, collect, failed, greedy, request
from conftest import GOLDEN
from server import Server, until
from stubs import session as proto

MODEL = GOLDEN / "variants/macchiato-conv-rope"
ENDLESS = {"max_tokens": 1 << 20, "ignore_eos": True}
GOOD = {"temperature": 0}, {"max_tokens": 3, "ignore_eos": True}


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=4", "--poison_freed_slots") as server:
        yield server


def endless(client, name, prompt=(1, 2, 3)):
    """(stream, tokens of its first message) of a call that runs."""
    stream = client.inference.Generate(request(prompt, {"seed": 1}, ENDLESS, session=name), timeout=120)
    return stream, len(next(stream).chunk.token_ids)


def names(client):
    return [s.name for s in client.list_sessions().sessions]


def test_what_is_told_of_a_session(client):
    made = client.create_session("A-z_0.9")
    assert (made.name, made.position, made.busy) == ("sessions/A-z_0.9", 0, False)
    model = client.model()
    assert (made.state_bytes, made.model_fingerprint) == (model.memory.bytes_per_session, model.fingerprint)
    assert made.create_time.ToNanoseconds() == made.use_time.ToNanoseconds() > 0
    assert client.get_session(made.name) == made
    got = client.greedy([1, 2, 3], 7, session=made.name)
    used = client.get_session(made.name)
    assert got.summary.session_position == used.position == 10 and not used.busy
    assert used.use_time.ToNanoseconds() >= used.create_time.ToNanoseconds() == made.create_time.ToNanoseconds()
    client.delete_session(made.name)
    got = failed(lambda: client.get_session(made.name))
    assert (got.code, got.reason, got.domain) == ("NOT_FOUND", "SESSION_NOT_FOUND", "barista")


def test_an_id_may_be_drawn_and_is_another_each_time(client):
    drawn = [client.create_session().name for _ in range(4)]
    assert len(set(drawn)) == 4
    for name in drawn:
        assert re.fullmatch(r"sessions/[A-Za-z0-9._-]{1,64}", name)


def test_a_name_is_taken_until_its_session_is_deleted(client):
    client.create_session("x" * 64)
    got = failed(lambda: client.create_session("x" * 64))
    assert (got.code, got.reason) == ("ALREADY_EXISTS", "SESSION_EXISTS") and "x" * 64 in got.message
    client.greedy([1], 5, session="sessions/" + "x" * 64)
    client.delete_session("sessions/" + "x" * 64)
    assert client.create_session("x" * 64).position == 0


def test_the_first_call_needs_a_prompt(client):
    name = client.create_session().name
    got = failed(lambda: client.generate(None, *GOOD, session=name))
    assert (got.code, got.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert not client.get_session(name).busy and client.get_session(name).position == 0
    assert len(client.generate([1], *GOOD, session=name).ids) == 3
    assert len(client.generate(None, *GOOD, session=name).ids) == 3


def test_of_calls_that_meet_one_runs(client):
    name, count = client.create_session().name, 8
    gate, ran, refused = threading.Barrier(count), [], []

    def meet(seed):
        message = request([seed + 1], {"seed": seed}, ENDLESS, session=name)
        gate.wait()
        stream = client.inference.Generate(message, timeout=120)
        try:
            next(stream)
            ran.append(stream)
        except grpc.RpcError:
            refused.append(failed(lambda: next(stream)))
    threads = [threading.Thread(target=meet, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 1
    assert {(f.code, f.reason) for f in refused} == {("ABORTED", "SESSION_BUSY")} and len(refused) == count - 1
    assert client.get_session(name).busy and client.list_sessions().sessions[0].busy
    for call in (lambda: client.delete_session(name), lambda: client.generate(None, *GOOD, session=name)):
        got = failed(call)
        assert (got.code, got.reason) == ("ABORTED", "SESSION_BUSY") and name in got.message
    next(ran[0])  # it still runs
    ran[0].cancel()


@pytest.mark.parametrize("how", ["cancel", "disconnect", "deadline"])
def test_a_caller_that_leaves_frees_its_session(server, client, how):
    name = client.create_session().name
    with Client(server.address) as other:
        message = request([1, 2, 3], {"seed": 1}, ENDLESS, session=name)
        stream = other.inference.Generate(message, timeout=0.5 if how == "deadline" else 120)
        seen = 0
        try:
            for chunk in stream:
                seen += len(chunk.chunk.token_ids)
                if seen >= 20 and how != "deadline":
                    stream.cancel() if how == "cancel" else other.channel.close()
        except (grpc.RpcError, ValueError):  # ValueError: the channel was closed
            pass
    until(lambda: not client.get_session(name).busy, what="the end of the call")
    position = client.get_session(name).position
    assert position >= 3 + seen
    got = client.greedy(None, 5, session=name)
    assert len(got.ids) == 5 and got.summary.session_position == position + 5
    # What was drawn and not seen is part of the past all the same.
    again = client.create_session().name
    client.generate([1, 2, 3], {"seed": 1}, {**ENDLESS, "max_tokens": position - 3}, session=again)
    assert client.greedy(None, 5, session=again).ids == got.ids


@pytest.mark.parametrize("copied", [False, True], ids=["cancelled", "forked"])
@pytest.mark.parametrize("more", [None, [7]], ids=["no-prompt", "prompt"])
def test_a_prompt_that_was_read_in_part_is_a_past_of_that_part(client, copied, more):
    """With penalties on: they count what was read."""
    name, prompt = client.create_session("parent").name, [3, 1, 4, 1, 5, 9, 2, 6] * 20_000
    sampling = {"temperature": 0, "repetition_penalty": 100, "logit_bias": {i: 50 for i in prompt[:8]}}
    message = request(prompt, sampling, {"max_tokens": 5, "ignore_eos": True}, session=name)
    stream = client.inference.Generate(message, timeout=120)
    told = next(stream).progress.tokens_done
    child = client.fork_session(name, "child")[0].name if copied else name
    stream.cancel()
    until(lambda: not client.get_session(name).busy, what="the end of the call")
    position = client.get_session(child).position
    assert told <= position < len(prompt)
    tokens = {"max_tokens": 20, "ignore_eos": True}
    got = client.generate(more, sampling, tokens, session=child, logprobs=0)
    assert got.summary.session_position == position + len(more or ()) + 20
    alone = client.generate([*prompt[:position], *(more or ())], sampling, tokens, logprobs=0)
    assert got.ids == alone.ids and not set(got.ids[:5]) & set(prompt)
    assert [e.logprob for e in got.logprobs] == pytest.approx([e.logprob for e in alone.logprobs], abs=2e-3)


def test_sessions_keep_their_slots_and_the_next_is_refused_at_once(server, client):
    made = [client.create_session(f"s{i}").name for i in range(4)]
    metrics = server.settled(sessions=4)
    assert metrics['barista_state_bytes{tier="device"}'] == 4 * server.bytes_per_session
    for call in (client.create_session, lambda: client.generate([1], *GOOD), lambda: client.score([1, 2]),
                 lambda: client.fork_session(made[0], "child")):
        got = failed(call)
        assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX")
        assert got.retry_seconds > 0 and "4" in got.message
    assert len(client.generate([1], *GOOD, session=made[0]).ids) == 3  # a session has its slot
    assert failed(lambda: client.create_session("s0")).reason == "SESSION_EXISTS"
    client.delete_session(made[1])
    assert server.settled(sessions=3)['barista_sessions{tier="device"}'] == 3
    assert len(client.generate([1], *GOOD).ids) == 3
    client.create_session("s4")
    assert names(client) == ["sessions/s0", "sessions/s2", "sessions/s3", "sessions/s4"]


def test_calls_without_a_session_wait_for_each_other_and_not_for_sessions(server, client):
    made = [client.create_session(f"s{i}").name for i in range(3)]
    holder, _ = endless(client, None)
    assert failed(lambda: client.generate([1], *GOOD, n=2)).reason == "SESSIONS_MAX"  # no call's end makes room
    waiting = client.inference.Generate(greedy([2], 5), timeout=120)
    until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
    assert len(client.generate([1], *GOOD, session=made[0]).ids) == 3  # needs no slot
    holder.cancel()
    assert len(collect(waiting).ids) == 5


def test_a_full_queue_is_nothing_to_calls_that_have_their_slots():
    with (Server(MODEL, "--backend=cpu", "--sessions_max=8", "--queue_requests_max=1") as server,
          Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(7) as pool):
        made = [client.create_session().name for _ in range(7)]
        holder, _ = endless(client, None)
        waiting = client.inference.Generate(greedy([2], 5), timeout=120)
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
        assert failed(lambda: client.greedy([3], 3)).reason == "QUEUE_FULL"
        for _ in range(10):  # all at once
            got = list(pool.map(lambda name: client.greedy([1] * 100, 3, session=name), made))
            assert [len(x.ids) for x in got] == [3] * 7
        holder.cancel()
        assert len(collect(waiting).ids) == 5


def test_a_call_that_waits_is_refused_once_sessions_keep_what_it_needs(server, client):
    client.create_session("s0")
    streams = [endless(client, None)[0] for _ in range(2)]
    waiting = client.inference.Generate(greedy([2], 5, n=3), timeout=60)
    until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
    client.create_session("s1")  # two slots are left for calls
    got = failed(lambda: list(waiting))
    assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX")
    for stream in streams:
        stream.cancel()


def test_a_fork_is_all_or_none(client):
    parent, other = (client.create_session(i).name for i in ("parent", "other"))
    client.greedy([1, 2], 5, session=parent)
    for ids, code, reason in ((["a", "b", "c"], "RESOURCE_EXHAUSTED", "SESSIONS_MAX"),
                              (["a", "other"], "ALREADY_EXISTS", "SESSION_EXISTS"),
                              (["a", "parent"], "ALREADY_EXISTS", "SESSION_EXISTS"),
                              (["a", "a"], "INVALID_ARGUMENT", "INVALID_FIELD"),
                              (["a", "b/c"], "INVALID_ARGUMENT", "INVALID_FIELD")):
        got = failed(lambda: client.fork_session(parent, *ids))
        assert (got.code, got.reason) == (code, reason), ids
        assert (got.retry_seconds > 0) == (reason == "SESSIONS_MAX")
        assert names(client) == [other, parent]
    assert [s.position for s in client.fork_session(parent, "a", "b")] == [7, 7]
    client.delete_session(parent)
    assert len(client.generate(None, *GOOD, session="sessions/a").ids) == 3


@pytest.fixture(scope="module")
def many():
    """(client, names in order) of a server with sessions of all kinds of names."""
    rng, letters = random.Random(7), "abzABZ059-_."
    ids = {"".join(rng.choices(letters, k=rng.randint(1, 64))) for _ in range(30)} | {"a", "a.", "a-", "B", "x" * 64}
    with (Server(MODEL, "--backend=cpu", "--sessions_max=64") as server, Client(server.address) as client):
        for session_id in rng.sample(sorted(ids), len(ids)):
            client.create_session(session_id)
        yield client, sorted(f"sessions/{i}" for i in ids)


def pages(client, size):
    token = None
    while token != "":
        page = client.list_sessions(size, token)
        yield page
        token = page.next_page_token


@pytest.mark.parametrize("size", [1, 2, 7, 34, 35, 36, 1000, None])
def test_pages_give_every_session_once_in_order(many, size):
    client, wanted = many
    got = list(pages(client, size))
    assert [s.name for page in got for s in page.sessions] == wanted
    assert all(page.total_size == len(wanted) for page in got)
    assert len(got) == -(-len(wanted) // (size or 100))


def test_a_page_goes_on_where_the_last_one_ended_though_that_session_is_gone(many):
    client, wanted = many
    first = client.list_sessions(10)
    last = first.sessions[-1].name
    client.delete_session(last)
    try:
        second = client.list_sessions(1000, first.next_page_token)
        assert [s.name for s in second.sessions] == wanted[10:] and second.next_page_token == ""
    finally:
        client.create_session(last.removeprefix("sessions/"))


def test_a_list_of_nothing_is_one_empty_page(client):
    assert client.list_sessions() == proto.ListSessionsResponse(total_size=0, next_page_token="")


def test_positions_of_a_session_are_bounded_where_the_model_bounds_them():
    with (Server(GOLDEN / "extra/full-rope", "--backend=cpu", "--sessions_max=4", "--max_positions=64") as server,
          Client(server.address) as client):
        name = client.create_session().name
        client.greedy([1] * 30, 20, session=name)
        for prompt, tokens in ((None, 15), ([1], 14), ([1] * 15, 1), ([1] * 64, 1)):
            got = failed(lambda: client.greedy(prompt, tokens, session=name))
            assert (got.code, got.reason) == ("OUT_OF_RANGE", "POSITION_OUT_OF_RANGE"), (prompt, tokens)
            assert client.get_session(name).position == 50
        (child,) = client.fork_session(name, "child")
        assert client.greedy(None, 14, session=name).summary.session_position == 64
        assert client.greedy([1] * 4, 10, session=child.name).summary.session_position == 64
        assert failed(lambda: client.greedy(None, 1, session=name)).code == "OUT_OF_RANGE"
        assert failed(lambda: client.greedy([1], 1, session=name)).code == "OUT_OF_RANGE"
        for made in (name, child.name):
            client.delete_session(made)
        assert len(client.greedy([1] * 30, 34).ids) == 34
