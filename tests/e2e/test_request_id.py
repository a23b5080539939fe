"""request_id: a call that comes twice is answered twice and done once."""
import concurrent.futures
import uuid

import grpc
import pytest

from client import collect, failed, request
from conftest import GOLDEN
from server import Server, until
from stubs import session as proto

MODEL = GOLDEN / "variants/macchiato-conv-rope"
ENDLESS = {"max_tokens": 1 << 20, "ignore_eos": True}
SEEDLESS = {"temperature": 1, "top_k": 0}  # the server draws a seed: only a replay draws the same tokens


def length(tokens):
    return {"max_tokens": tokens, "ignore_eos": True}


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=6", "--poison_freed_slots") as server:
        yield server


@pytest.fixture
def fresh():
    """A request_id that no other test has."""
    return uuid.uuid4().hex


def create(client, request_id, session_id=None):
    message = proto.CreateSessionRequest(session_id=session_id, request_id=request_id)
    return client.sessions.CreateSession(message, timeout=30)


def delete(client, request_id, name):
    return client.sessions.DeleteSession(proto.DeleteSessionRequest(name=name, request_id=request_id), timeout=30)


def fork(client, request_id, name, *children):
    message = proto.ForkSessionRequest(name=name, session_ids=children, request_id=request_id)
    return client.sessions.ForkSession(message, timeout=30)


def messages(client, *args, **fields):
    """All messages of a Generate stream."""
    return list(client.inference.Generate(request(*args, **fields), timeout=120))


@pytest.mark.parametrize("session_id", [None, "given"])
def test_create_makes_one_session(client, fresh, session_id):
    first = create(client, fresh, session_id)
    client.greedy([1, 2], 3, session=first.session.name)
    assert create(client, fresh, session_id) == first  # as it was then
    assert client.list_sessions().total_size == 1
    assert failed(lambda: client.create_session(first.session.name.split("/")[1])).reason == "SESSION_EXISTS"


def test_delete_deletes_once(client, fresh):
    name = client.create_session("x").name
    delete(client, fresh, name)
    client.create_session("x")
    delete(client, fresh, name)
    assert client.get_session(name).position == 0
    assert failed(lambda: (client.delete_session(name), client.delete_session(name))).reason == "SESSION_NOT_FOUND"


def test_fork_forks_once(client, fresh):
    name = client.create_session().name
    first = fork(client, fresh, name, "a", "b")
    client.greedy([1, 2], 3, session="sessions/a")
    assert fork(client, fresh, name, "a", "b") == first and len(first.sessions) == 2
    assert client.list_sessions().total_size == 3
    assert failed(lambda: fork(client, None, name, "a", "b")).reason == "SESSION_EXISTS"


def test_an_error_is_answered_again(client, fresh):
    missing = failed(lambda: delete(client, fresh, "sessions/later"))
    client.create_session("later")
    again = failed(lambda: delete(client, fresh, "sessions/later"))
    assert again == missing and again.reason == "SESSION_NOT_FOUND"
    assert client.get_session("sessions/later").position == 0


def test_generate_draws_once(server, client, fresh):
    name = client.create_session().name
    call = dict(session=name, request_id=fresh, logprobs=2)
    first = messages(client, [1, 2, 3], SEEDLESS, length(50), **call)
    drawn = server.metrics()["barista_generation_tokens_total"]
    for _ in range(3):
        assert messages(client, [1, 2, 3], SEEDLESS, length(50), **call) == first
    assert client.get_session(name).position == 53 == first[-1].summary.session_position
    assert server.metrics()["barista_generation_tokens_total"] == drawn
    on = [messages(client, None, SEEDLESS, length(5), session=name, request_id=fresh + i) for i in "12"]
    assert on[0] != on[1] and client.get_session(name).position == 63
    assert messages(client, [1, 2, 3], SEEDLESS, length(50), **call) == first  # the last one or not


def test_without_a_session_or_an_id_a_call_runs_each_time(client, fresh):
    one, two = (messages(client, [1, 2, 3], SEEDLESS, length(50), request_id=fresh) for _ in range(2))
    assert one != two and two[-1].summary.request_id == fresh
    name = client.create_session().name
    for i in (1, 2):
        messages(client, [1], SEEDLESS, length(5), session=name)
        assert client.get_session(name).position == 6 * i


def test_other_content_is_refused(client, fresh):
    name = client.create_session("x").name
    create(client, fresh, "y")
    messages(client, [1], SEEDLESS, length(5), session=name, request_id=fresh)  # each method has its own ids
    for call in (lambda: create(client, fresh, "z"), lambda: create(client, fresh),
                 lambda: messages(client, [2], SEEDLESS, length(5), session=name, request_id=fresh),
                 lambda: messages(client, [1], SEEDLESS, length(6), session=name, request_id=fresh),
                 lambda: messages(client, [1], SEEDLESS, length(5), session="sessions/y", request_id=fresh)):
        got = failed(call)
        assert (got.code, got.reason, got.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["request_id"])
        assert fresh in got.message
    assert client.list_sessions().total_size == 2 and client.get_session(name).position == 6


@pytest.mark.parametrize("bad, words", [("x" * 65, ("65", "64")), ("a\nb", ("printable",)), ("ü", ("printable",))])
def test_an_id_has_its_form(client, bad, words):
    client.create_session("x")
    for call in (lambda: create(client, bad), lambda: delete(client, bad, "sessions/x"),
                 lambda: fork(client, bad, "sessions/x", "y"),
                 lambda: messages(client, [1], session="sessions/x", request_id=bad)):
        got = failed(call)
        assert (got.reason, got.fields) == ("INVALID_FIELD", ["request_id"])
        assert all(word in got.message for word in words)
    assert client.list_sessions().total_size == 1


def test_of_calls_that_come_together_one_runs(client, fresh):
    name = client.create_session().name

    def call(_):
        try:
            return messages(client, [1, 2, 3], SEEDLESS, length(300), session=name, request_id=fresh)
        except grpc.RpcError as error:
            return error
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(call, range(8)))
    answers = [e for e in ends if isinstance(e, list)]
    running = [failed(lambda e=e: (_ for _ in ()).throw(e)) for e in ends if not isinstance(e, list)]
    assert answers and all(a == answers[0] for a in answers)
    assert {(r.code, r.reason, r.retry_seconds) for r in running} <= {("ABORTED", "REQUEST_RUNNING", 1)}
    assert client.get_session(name).position == 303


def test_a_repeat_while_the_first_runs_is_told_so(client, fresh):
    name = client.create_session().name
    first = client.inference.Generate(request([1], SEEDLESS, ENDLESS, session=name, request_id=fresh), timeout=120)
    next(first)
    got = failed(lambda: messages(client, [1], SEEDLESS, ENDLESS, session=name, request_id=fresh))
    assert (got.code, got.reason, got.retry_seconds) == ("ABORTED", "REQUEST_RUNNING", 1)
    first.cancel()
    until(lambda: not client.get_session(name).busy, what="the end of the first")


def repeat(client, *args, **fields):
    """(generation, failure) of a repeat, as soon as the first call has ended."""
    while True:
        stream, got = client.inference.Generate(request(*args, **fields), timeout=120), []
        end = failed(lambda: got.extend(m for m in iter(lambda: next(stream), None)))
        if end.reason != "REQUEST_RUNNING":
            return collect(iter(got)), end


@pytest.mark.parametrize("read", [1, 30])
def test_the_repeat_of_a_cancelled_call_tells_all_that_was_drawn(client, fresh, read):
    name = client.create_session().name
    call = dict(session=name, request_id=fresh)
    first = client.inference.Generate(request([1, 2, 3], SEEDLESS, ENDLESS, **call), timeout=120)
    seen = [i for _ in range(read) for i in next(first).chunk.token_ids]
    first.cancel()
    got, end = repeat(client, [1, 2, 3], SEEDLESS, ENDLESS, **call)
    assert (end.code, end.reason) == ("CANCELLED", "CANCELLED")
    assert got.ids[:len(seen)] == seen and got.summary is None
    assert client.get_session(name).position == 3 + len(got.ids)
    again, end = repeat(client, [1, 2, 3], SEEDLESS, ENDLESS, **call)
    assert again.ids == got.ids and end.code == "CANCELLED"
    assert client.get_session(name).position == 3 + len(got.ids)


def test_a_call_that_was_refused_is_tried_again(server, client, fresh):
    name = client.create_session("x").name
    empty = failed(lambda: messages(client, None, SEEDLESS, length(4), session=name, request_id=fresh))
    assert empty.fields == ["text"]
    client.append(name, [1])
    holder = client.inference.Generate(request([1], SEEDLESS, ENDLESS, session=name), timeout=120)
    next(holder)
    calls = (lambda: messages(client, None, SEEDLESS, length(4), session=name, request_id=fresh),
             lambda: delete(client, fresh, name))
    for call in calls:
        assert failed(call).reason == "SESSION_BUSY"
    holder.cancel()
    until(lambda: not client.get_session(name).busy, what="a free session")
    for call in calls:
        assert call() == call()
    left = [client.create_session().name for _ in range(server.sessions_max)]
    full = failed(lambda: create(client, fresh))
    assert (full.reason, full.code) == ("SESSIONS_MAX", "RESOURCE_EXHAUSTED")
    client.delete_session(left[0])
    assert create(client, fresh) == create(client, fresh)


def test_more_messages_than_are_kept_are_not_told_again(client, fresh):
    name = client.create_session().name
    call = dict(session=name, request_id=fresh, logprobs=20)
    first = messages(client, [1], SEEDLESS, length(60_000), **call)
    assert sum(m.ByteSize() for m in first) > 8 << 20
    got = failed(lambda: messages(client, [1], SEEDLESS, length(60_000), **call))
    assert (got.code, got.reason, got.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["request_id"])
    assert str(8 << 20) in got.message
    assert client.get_session(name).position == 60_001


def test_the_last_1024_answers_are_kept(client, fresh):
    first = create(client, fresh, "first")
    for i in range(1023):
        failed(lambda: delete(client, f"{fresh} {i}", "sessions/nobody"))
    assert create(client, fresh, "first") == first
    failed(lambda: delete(client, f"{fresh} last", "sessions/nobody"))
    assert failed(lambda: create(client, fresh, "first")).reason == "SESSION_EXISTS"
