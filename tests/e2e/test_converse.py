"""Converse: a stream does what the same calls do; interrupts, meetings, slow readers, callers that leave."""
import grpc
import pytest

from client import Client, Generation, failed, past_of, until_others_pause
from conftest import GOLDEN
from conversation import (ABORTED, CANCELLED, DEADLINE, ENDLESS, GREEDY, SEEDED, Conversation, append, generate,
                          interrupt, length)
from server import Server, until

MODEL = GOLDEN / "variants/macchiato-conv-rope"  # without a tokenizer


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=8", "--poison_freed_slots") as server:
        yield server


def by_calls(client, name, *actions):
    """Ids that the same appends and generations draw, each as a call of its own."""
    ids = []
    for what, *rest in actions:
        if what == "append":
            client.append(name, *rest)
        else:
            ids.append(client.generate(None, *rest, session=name).ids)
    return ids


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED], ids=["greedy", "seeded"])
def test_a_stream_does_what_the_same_calls_do_bit_for_bit(demo_client, sampling):
    client = demo_client
    one, two = (client.create_session(i).name for i in ("one", "two"))
    client.append(one, "def f(x):\n")
    first = client.generate(None, sampling, length(30), session=one, logprobs=2)
    client.append(one, list(range(5, 200)))
    second = client.generate(None, sampling, length(70), session=one)
    with Conversation(client, two, sampling=sampling, stop=length(30)) as talk:
        assert talk.started.message.session_position == 0
        appended = talk.ask(append("def f(x):\n"))
        got = talk.ask(generate(logprobs=2))
        assert (appended.kind, got.kind) == ("appended", "generated")
        assert (got.ids, got.generation.text) == (first.ids, first.text)
        assert got.generation.logprobs == first.logprobs
        assert got.message.session_position == appended.message.session_position + 30
        assert got.message.usage == first.summary.usage
        talk.send(append(list(range(5, 200))), generate(stop=length(70)))  # without waiting
        assert talk.answer().message.usage.prompt_tokens == 195
        again = talk.answer()
        assert (again.ids, again.generation.text) == (second.ids, second.text)
        assert again.message.session_position == second.summary.session_position
        assert again.message.model_fingerprint == second.summary.model_fingerprint
    assert past_of(client.export_session(one)) == past_of(client.export_session(two))


def test_the_session_outlives_the_stream_and_is_free_between_its_actions(client):
    name = client.create_session().name
    with Conversation(client, name, sampling=GREEDY, stop=length(5)) as talk:
        talk.ask(append([1, 2, 3]))
        assert not client.get_session(name).busy
        client.append(name, [4, 5])
        assert talk.ask(generate()).message.session_position == 10
    with Conversation(client, name, sampling=GREEDY, stop=length(5)) as talk:
        assert talk.started.message.session_position == 10
        got = talk.ask(generate()).ids
    with client.session() as other:
        (wanted,) = by_calls(client, other, ("append", [1, 2, 3]), ("append", [4, 5]), ("generate", GREEDY, length(10)))
    assert got == wanted[5:]


def test_progress_is_told_of_a_long_append(client):
    name = client.create_session().name
    with Conversation(client, name) as talk:
        told = talk.ask(append([7] * 20_000)).generation.progress
    assert told == sorted(set(told)) and {total for _, total in told} == {20_000}
    assert 0 < told[0][0] and told[-1][0] < 20_000


def test_sampling_and_stop_rules_hold_until_replaced(client):
    name, other = client.create_session().name, client.create_session().name
    with Conversation(client, name, sampling=SEEDED, stop=length(9)) as talk:
        talk.send(append([1, 2, 3]), generate(), generate(GREEDY), generate(stop=length(4)), generate())
        got = [talk.answer() for _ in range(5)][1:]
    assert [len(g.ids) for g in got] == [9, 9, 4, 4]
    assert [g.message.seed for g in got][:1] == [11]
    assert [g.ids for g in got] == by_calls(
        client, other, ("append", [1, 2, 3]), ("generate", SEEDED, length(9)), ("generate", GREEDY, length(9)),
        ("generate", GREEDY, length(4)), ("generate", GREEDY, length(4)))


def test_an_interrupted_generation_keeps_what_was_drawn_and_goes_on_as_if_it_had_not_been(client):
    name = client.create_session().name
    with Conversation(client, name, sampling=GREEDY, stop=ENDLESS) as talk:
        talk.send(append([1, 2, 3]), generate())
        talk.answer()
        part = Generation()
        while not part.choices or len(part.ids) < 20:
            part.add(talk.read())
        talk.send(interrupt())
        cut = talk.answer(part)
        assert cut.failure == (CANCELLED, "CANCELLED", "")
        assert cut.message.session_position == 3 + len(cut.ids) == client.get_session(name).position
        rest = talk.ask(generate(stop=length(40)))
        assert rest.message.session_position == 3 + len(cut.ids) + 40
    with client.session() as other:
        whole = client.generate([1, 2, 3], GREEDY, length(len(cut.ids) + 40), session=other).ids
        assert cut.ids + rest.ids == whole
        assert past_of(client.export_session(name)) == past_of(client.export_session(other))


def test_an_interrupt_drops_the_generations_that_wait_and_no_append(client):
    name = client.create_session().name
    with Conversation(client, name, sampling=GREEDY, stop=ENDLESS) as talk:
        talk.send(append([1, 2, 3]), generate(), append([4, 5]), generate(SEEDED), append([6]), generate())
        assert talk.answer().kind == "appended"
        part = Generation()
        part.add(talk.read())  # it runs
        talk.send(interrupt(), generate(stop=length(3)))
        answers = [talk.answer(part), *(talk.answer() for _ in range(5))]
        assert [a.kind for a in answers] == ["failed", "appended", "failed", "appended", "failed", "generated"]
        drawn = len(answers[0].ids)
        assert [a.message.session_position for a in answers] == [3 + drawn, 5 + drawn, 5 + drawn, 6 + drawn, 6 + drawn,
                                                                 9 + drawn]
        assert {a.failure for a in answers[::2]} == {(CANCELLED, "CANCELLED", "")}
        assert answers[2].ids == answers[4].ids == []
        assert answers[-1].message.seed == 11  # what a dropped generation replaced is replaced


def test_an_interrupt_without_a_generation_does_nothing(client):
    name = client.create_session().name
    with Conversation(client, name, sampling=GREEDY, stop=length(4)) as talk:
        talk.send(interrupt(), append([1]), interrupt(), interrupt())
        assert talk.answer().kind == "appended"
        assert talk.ask(generate()).kind == "generated"
        talk.send(interrupt(), interrupt())
        assert talk.ask(append([2])).message.session_position == 6


def test_of_two_streams_on_a_session_one_generates(client):
    name = client.create_session().name
    with Conversation(client, name, stop=ENDLESS) as one, Conversation(client, name, stop=length(5)) as two:
        one.ask(append([1, 2, 3]))
        one.send(generate())
        part = Generation()
        part.add(one.read())
        for message in (generate(), append([4])):
            busy = two.ask(message)
            assert busy.failure == (ABORTED, "SESSION_BUSY", "") and busy.message.session_position > 3
        one.send(interrupt())
        drawn = len(one.answer(part).ids)
        assert two.ask(generate()).message.session_position == 3 + drawn + 5
        assert one.ask(append([4])).message.session_position == 3 + drawn + 6


def test_many_actions_may_be_sent_at_once(client):
    name = client.create_session().name
    with Conversation(client, name, sampling=GREEDY, stop=length(2)) as talk:
        talk.send(*(append([i] * 3) if i % 2 else generate() for i in range(1, 101)))
        talk.close()
        kinds = [talk.answer().kind for _ in range(100)]
    assert kinds == ["appended", "generated"] * 50
    assert client.get_session(name).position == 50 * 3 + 50 * 2


def test_a_caller_that_sends_faster_than_its_actions_run_is_not_read_from(client):
    name = client.create_session().name
    talk = Conversation(client, name, stop=ENDLESS)
    talk.send(append([1]), generate(), *(append([7] * 50_000) for _ in range(400)))  # 20 MB behind an endless one
    left = 0

    def stays():
        nonlocal left
        before, left = left, talk.unsent()
        position = client.get_session(name).position
        until(lambda: client.get_session(name).position > position + 500, what="500 more tokens")
        return left == before > 0
    until(stays, what="a sender that waits")
    talk.stream.cancel()
    talk.close()
    until(lambda: not client.get_session(name).busy, what="a free session")


def test_closing_the_sending_side_ends_the_stream_when_all_is_answered(client):
    name = client.create_session().name
    talk = Conversation(client, name, stop=length(200))
    talk.send(append([1, 2, 3]), generate(), append([4]), generate(stop=length(3)))
    talk.close()
    assert [talk.answer().kind for _ in range(4)] == ["appended", "generated", "appended", "generated"]
    assert not list(talk.stream) and talk.stream.code() == grpc.StatusCode.OK
    assert client.get_session(name).position == 3 + 200 + 1 + 3


def cancelled(server):
    return server.metrics()['barista_requests_total{status="cancelled"}']


@pytest.mark.parametrize("read", [0, 1, 40])
def test_a_caller_that_leaves_interrupts_what_runs(server, client, read):
    name, before = client.create_session().name, cancelled(server)
    talk = Conversation(client, name, stop=ENDLESS)
    talk.send(append([1, 2, 3]), generate(), append([4]), generate())
    if read:
        assert talk.answer().kind == "appended"
    for _ in range(read):
        talk.read()
    talk.stream.cancel()
    talk.close()
    until(lambda: cancelled(server) == before + 1, what="the count of the cancel")
    until(lambda: not client.get_session(name).busy, what="a free session")
    assert client.get_session(name).position >= (3 + read if read else 0)
    with Conversation(client, name, stop=length(2)) as talk:
        assert talk.ask(append([5])).kind == "appended" and talk.ask(generate()).kind == "generated"


def test_an_idle_caller_that_leaves_ends_its_stream(server, client):
    before = cancelled(server)
    talk = Conversation(client, client.create_session().name)
    talk.stream.cancel()
    talk.close()
    until(lambda: cancelled(server) == before + 1, what="the count of the cancel")


def test_the_streams_deadline_bounds_it(server, client):
    name = client.create_session().name
    before = server.metrics()['barista_requests_total{status="deadline_exceeded"}']
    talk = Conversation(client, name, timeout=0.7, stop=ENDLESS)
    talk.send(append([1]), generate())
    assert failed(lambda: list(talk.stream)).code == "DEADLINE_EXCEEDED"
    talk.close()
    until(lambda: server.metrics()['barista_requests_total{status="deadline_exceeded"}'] == before + 1,
          what="the count of the deadline")
    until(lambda: not client.get_session(name).busy, what="a free session")


def test_without_one_each_generation_has_its_own():
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", "--deadline_seconds_max=0.4") as server,
          Client(server.address) as client):
        with Conversation(client, client.create_session().name, timeout=None, stop=ENDLESS) as talk:
            talk.ask(append([1]))
            for _ in range(3):  # longer than one deadline in all
                got = talk.ask(generate())
                assert got.failure == (DEADLINE, "DEADLINE", "") and got.ids
            assert talk.ask(generate(stop=length(3))).kind == "generated"
        client.delete_sessions()


def test_a_slow_reader_pauses_its_own_call_alone():
    tokens = 3000
    with (Server(MODEL, "--backend=cpu", "--sessions_max=4", "--outbox_events_max=32") as server,
          Client(server.address, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1)) as slow,
          Client(server.address) as client):
        name = client.create_session().name
        with Conversation(slow, name, timeout=300, sampling=GREEDY, stop=length(tokens)) as talk:
            talk.send(append([1, 2, 3]), generate(logprobs=20), append([4]))
            assert talk.answer().kind == "appended"
            until_others_pause(server, client)
            assert client.get_session(name).position < tokens
            got = talk.answer()
            assert got.kind == "generated" and got.ids == client.greedy([1, 2, 3], tokens).ids
            assert talk.answer().kind == "appended"
            talk.send(generate(stop=ENDLESS, logprobs=20))
            until_others_pause(server, client)
            talk.send(interrupt(), append([5]))  # seen though nothing is read
            until(lambda: not client.get_session(name).busy, what="the end of the generation")
            cut = talk.answer()
            assert cut.failure == (CANCELLED, "CANCELLED", "")
            assert cut.message.session_position == tokens + 4 + len(cut.ids)
            assert talk.answer().message.session_position == tokens + 5 + len(cut.ids)
        client.delete_sessions()
        server.settled()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_server_that_stops_ends_its_streams(busy):
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", "--drain_seconds=0.2") as server,
          Client(server.address) as client):
        talk = Conversation(client, client.create_session().name, stop=ENDLESS)
        talk.ask(append([1]))
        if busy:
            talk.send(generate())
            talk.read()
        assert server.stop() == 0
        got = failed(lambda: list(talk.stream))
        talk.close()
        assert got.code == "UNAVAILABLE" and (got.reason == "DRAINING" or not busy)
