"""Rewinds: what was put back goes on as if what came after had never been."""
import random

import pytest

from client import Client, failed, past_of, request
from conftest import DEMO, GOLDEN
from rewinds import (BACK, FINAL, REPLAYED, Call, Past, Rewinds, check_against_replay, check_nothing_below, ends_of,
                     out_of_range)
from server import Server, until
from test_sessions import SAMPLINGS, go_on, length, observed

MODEL = GOLDEN / "variants/macchiato-conv-rope"
MODELS = {"conv-rope": (MODEL, "--backend=cpu"), "conv-rope-ref": (MODEL, "--backend=ref"),
          "demo": (DEMO, "--backend=cpu"), "gemma-macchiato": (GOLDEN / "variants/gemma-macchiato", "--backend=cpu"),
          "full-rope": (GOLDEN / "extra/full-rope", "--backend=cpu"),
          "bf16-mixed": (GOLDEN / "extra/bf16-post-mixed", "--backend=cpu")}

@pytest.mark.parametrize("model, backend", MODELS.values(), ids=MODELS)
def test_what_is_undone_has_never_been(servers, full, model, backend):
    client = servers(model, backend).client
    rng = random.Random(f"{model.name} {backend}")
    rewinds = replayed = 0
    for _ in range(40 if full else 2):
        with client.session() as name:
            work = Rewinds(client, rng, name)
            for _ in range(rng.randint(10, 25) if full else 12):
                work.step()
            work.rewind()
            check_against_replay(client, work.past, name)
            rewinds, replayed = rewinds + work.rewinds, replayed + work.replayed
    assert rewinds and replayed
    print(f"result: rewind: {model.name} {backend}: {rewinds} rewinds equal a past without what they undid")


@pytest.fixture(scope="module")
def served(servers):
    server = servers(MODEL, "--backend=cpu")
    yield server
    server.settled()


@pytest.fixture
def client(served):
    yield served.client
    served.client.delete_sessions()


@pytest.fixture
def draw(rng, client):
    vocabulary = client.model().architecture.vocab_size
    return lambda tokens: [rng.randrange(vocabulary) for _ in range(tokens)]


@pytest.mark.parametrize("tokens", [1, 2, 63, 64, 65, 127, 255, 256, 257, 300, 511, 513, 1000, 1500])
def test_any_place_of_a_prompt_is_reached(client, draw, rng, full, tokens):
    """Prompts are read in chunks, from where they begin; the calls before end where they like."""
    for before in (0, 5, 64, 100) if full else (0, rng.choice((5, 64, 100))):
        prompt = draw(tokens)
        base = Past([Call(0, draw(before - 3), SAMPLINGS["seeded"], 3)] if before else [], {}, [])
        end, lowest = before + tokens, max(before + tokens - BACK, 0)
        for target in range(lowest, end, 7) if full else {rng.randrange(lowest, end), max(lowest, min(before, end - 1))}:
            past = base.copy()
            with client.session() as name:
                past.replay(client, name)
                past.add(Call(before, prompt, None, 0))
                client.append(name, prompt)
                got = client.rewind(name, tokens=end - target)
                assert got.session.position == target and got.replayed_tokens <= REPLAYED
                past.cut(target)
                if target == 0:
                    assert failed(lambda n=name: client.generate(None, session=n)).code == "INVALID_ARGUMENT"
                check_against_replay(client, past, name)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("begin", [3, 200])
def test_any_token_that_was_drawn_is_reached(client, draw, rng, full, begin, sampling):
    """Over more than one anchor: what is drawn again is what was drawn."""
    with client.session() as name:
        drew = go_on(client, name, 600, sampling, draw(begin))
        at = 600
        for back in range(1, 257, 1 if full else 37):
            client.rewind(name, tokens=min(back, at))
            at -= back
            ids, logprobs = (x[at:at + 64] for x in observed(drew))
            (copy,) = client.fork_session(name, "copy", repeat_parent=True)
            assert observed(go_on(client, copy.name, len(ids), sampling)) == (ids, logprobs), at
            client.delete_session(copy.name)
            again = go_on(client, name, 600 - at, sampling)
            assert observed(again) == tuple(x[at:] for x in observed(drew))
            at = 600


def test_text_goes_on_where_it_was(demo, rng):
    """In the middle of a character too."""
    client, sampling = demo.client, {"temperature": 5, "top_k": 0, "seed": 3}
    with client.session() as name:
        whole = client.generate("# Größe ✓ ", sampling, length(200), session=name)
        for _ in range(12):
            back = rng.randint(1, 60)
            client.rewind(name, tokens=back)
            got = client.generate(None, sampling, length(back), session=name)
            with client.session() as other:
                client.generate("# Größe ✓ ", sampling, length(200 - back), session=other)
                wanted = client.generate(None, sampling, length(back), session=other)
            assert (got.ids, got.text) == (wanted.ids, wanted.text) and got.ids == whole.ids[-back:]


@pytest.mark.parametrize("repeat", [False, True])
def test_a_fork_goes_back_before_it_was_made(client, draw, rng, repeat):
    """And then draws with its own stream, as a fork of a session that ended there does; its parent feels nothing."""
    for round_number in range(4):
        past = Past()
        parent, shorter = client.create_session("parent").name, client.create_session("shorter").name
        past.add(Call(0, draw(70), SAMPLINGS["seeded"], 30))
        past.add(Call(100, draw(rng.choice((1, 200))), SAMPLINGS["penalties"], 40, "there"))
        for call in past.calls:
            client.generate(call.prompt, call.sampling, length(call.drawn), session=parent, mark=call.mark)
        child, second = (s.name for s in client.fork_session(parent, "child", "second", repeat_parent=repeat))
        parents = past_of(client.export_session(parent))
        if round_number % 2:
            go_on(client, child, 10, SAMPLINGS["seeded"], draw(5))
        back = client.get_session(child).position - past.position + rng.randint(1, 100)
        client.rewind(child, tokens=back)
        position = client.get_session(child).position
        past.cut(position)
        past.replay(client, shorter)
        (wanted,) = client.fork_session(shorter, "wanted", repeat_parent=repeat)
        assert ends_of(client, child) == ends_of(client, wanted.name)
        assert past_of(client.export_session(parent)) == parents
        # The states that both go back to are there for the other as long as one has them.
        client.delete_session(child)
        assert client.rewind(second, mark="there").session.position == client.get_session(parent).position
        assert client.rewind(second, turns=2).session.position == 0
        assert client.rewind(parent, turns=1).session.position == 100
        client.delete_sessions()


def test_a_parent_that_generates_is_forked_and_the_fork_goes_back(client, draw):
    with client.session() as parent:
        prompt = draw(100)
        stream = client.inference.Generate(
            request(prompt, SAMPLINGS["seeded"], length(1 << 20), session=parent), timeout=60)
        for _ in range(5):
            next(stream)
        (child,) = client.fork_session(parent, "child", repeat_parent=True)
        for call in (lambda: client.rewind(parent, tokens=1), lambda: client.rewind(parent, turns=1)):
            got = failed(call)
            assert (got.code, got.reason) == ("ABORTED", "SESSION_BUSY") and parent in got.message
        stream.cancel()
        until(lambda: not client.get_session(parent).busy, what="the end of the call")
        back = min(child.position - 101, 200)
        client.rewind(child.name, tokens=back)
        past = Past([Call(0, prompt, SAMPLINGS["seeded"], child.position - back - 100)])
        check_against_replay(client, past, child.name)
        client.delete_session(child.name)


def test_marks(client, draw):
    with client.session() as name:
        client.append(name, draw(10), mark="ten")
        client.generate(draw(5), FINAL, length(5), session=name, mark="twenty")
        client.generate(None, FINAL, length(500), session=name)
        assert [(m.mark, m.position) for m in client.get_session(name).marks] == [("ten", 10), ("twenty", 20)]
        assert client.rewind(name, mark="twenty").replayed_tokens == 0  # further back than rewind_tokens_max
        client.append(name, draw(1), mark="ten")  # it moves
        assert [(m.mark, m.position) for m in client.get_session(name).marks] == [("twenty", 20), ("ten", 21)]
        client.rewind(name, mark="twenty")
        got = failed(lambda: client.rewind(name, mark="ten"))  # after it: gone
        assert (got.code, got.reason) == ("NOT_FOUND", "MARK_NOT_FOUND") and "ten" in got.message
        assert client.rewind(name, mark="twenty").session.position == 20  # where it is
        assert failed(lambda: client.rewind(name, mark="none")).reason == "MARK_NOT_FOUND"
        # A call that fails leaves no mark.
        assert failed(lambda: client.generate([1 << 30], session=name, mark="bad")).code == "INVALID_ARGUMENT"
        stream = client.inference.Generate(
            request(draw(1), {}, length(1 << 20), session=name, mark="cancelled"), timeout=60)
        next(stream)
        stream.cancel()
        until(lambda: not client.get_session(name).busy, what="the end of the call")
        assert [m.mark for m in client.get_session(name).marks] == ["twenty"]


def test_a_session_has_64_marks(client, draw):
    with client.session() as name:
        for i in range(64):
            client.append(name, draw(1), mark=f"m{i}")
        got = failed(lambda: client.append(name, draw(1), mark="one-more"))
        assert (got.code, got.reason, got.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", ["mark"])
        assert "64" in got.message and client.get_session(name).position == 64
        client.append(name, draw(1), mark="m0")  # moves
        assert len(client.get_session(name).marks) == 64
        client.rewind(name, mark="m10")
        assert client.append(name, draw(1), mark="one-more").session_position == 12


def test_turns_are_calls_that_did_something(client, draw):
    with client.session() as name:
        assert client.get_session(name).turns == 0
        assert out_of_range(lambda: client.rewind(name, turns=1))
        client.append(name, draw(3))
        client.generate(None, FINAL, length(4), session=name)
        before = client.get_session(name)
        for refused in (lambda: client.generate([1 << 30], session=name), lambda: client.append(name, []),
                        lambda: client.rewind(name, turns=3), lambda: client.rewind(name, mark="none")):
            failed(refused)
        assert client.get_session(name).turns == before.turns == 2
        assert client.rewind(name, turns=1).session.position == 3
        assert client.get_session(name).turns == 1
        assert client.rewind(name, turns=1).session.position == 0
        assert out_of_range(lambda: client.rewind(name, turns=1))
        with client.session() as empty:
            assert failed(lambda: client.generate(None, session=empty)).code == "INVALID_ARGUMENT"
            assert client.get_session(empty).turns == 0


def test_64_turns_are_kept(client, draw):
    with client.session() as name:
        for _ in range(70):
            client.append(name, draw(2))
        assert client.get_session(name).turns == 64
        assert out_of_range(lambda: client.rewind(name, turns=65))
        assert client.rewind(name, turns=64).session.position == 12


def test_limits(client, draw):
    limit = client.model().limits.rewind_tokens_max
    assert limit == BACK
    with client.session() as name:
        client.append(name, draw(10))
        for way, value, words in (("tokens", 0, ["0", "1 to 256"]), ("tokens", 257, ["257", "256"]),
                                  ("tokens", 2**64 - 1, [str(2**64 - 1)]), ("turns", 0, ["0", "1"]),
                                  ("mark", "", ["64"]), ("mark", "x" * 65, ["65", "64"]), ("mark", "a/b", ["a/b"])):
            got = failed(lambda: client.rewind(name, **{way: value}))
            assert (got.code, got.reason, got.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", [way])
            assert all(word in got.message for word in words), got.message
        for way, value in (("tokens", 11), ("tokens", 256), ("turns", 2), ("turns", 2**32 - 1)):
            got = failed(lambda: client.rewind(name, **{way: value}))
            assert (got.code, got.reason, got.fields) == ("OUT_OF_RANGE", "REWIND_OUT_OF_RANGE", [way])
            assert str(value) in got.message
        assert failed(lambda: client.rewind(name)).code == "INVALID_ARGUMENT"
        assert failed(lambda: client.rewind("sessions/none", tokens=1)).reason == "SESSION_NOT_FOUND"
        assert client.get_session(name).position == 10
        assert client.rewind(name, tokens=10).session.position == 0


@pytest.mark.parametrize("back", [0, 64, 4096])
def test_the_limit_is_a_flag(back, draw):
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", f"--rewind_tokens_max={back}") as server,
          Client(server.address) as client):
        assert client.model().limits.rewind_tokens_max == back
        with client.session() as name:
            client.append(name, draw(100), mark="there")
            go_on(client, name, 4500, SAMPLINGS["seeded"])
            assert client.get_session(name).rewind_position_min == 4600 - back
            if back:
                assert client.rewind(name, tokens=back).replayed_tokens <= back
            assert failed(lambda: client.rewind(name, tokens=back + 1)).fields == ["tokens"]
            assert client.rewind(name, mark="there").session.position == 100


def test_without_bytes_for_states_there_is_no_way_back(draw):
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", "--checkpoint_bytes=0") as server,
          Client(server.address) as client, client.session() as name):
        assert client.model().limits.rewind_tokens_max == client.model().memory.checkpoint_bytes == 0
        client.append(name, draw(10), mark="there")
        told = client.get_session(name)
        assert (told.rewind_position_min, told.turns, list(told.marks)) == (10, 0, [])
        assert failed(lambda: client.rewind(name, tokens=1)).reason == "INVALID_FIELD"
        assert failed(lambda: client.rewind(name, mark="there")).reason == "MARK_NOT_FOUND"
        assert out_of_range(lambda: client.rewind(name, turns=1))


def test_states_that_gave_way_are_told(draw, full):
    """Whatever is told can be reached, whatever is not is refused, under a budget of few states."""
    rng = random.Random("few states")
    with Server(MODEL, "--backend=cpu", "--sessions_max=8", "--checkpoint_bytes=300000") as server:
        assert 2 < 300000 / server.bytes_per_session < 12
        with Client(server.address) as client:
            vocabulary, pasts = client.model().architecture.vocab_size, {}
            for i in range(600 if full else 80):
                if len(pasts) < 3:
                    pasts[client.create_session(f"s{i}").name] = Past()
                name = rng.choice(sorted(pasts))
                past = pasts[name]
                prompt = [rng.randrange(vocabulary) for _ in range(rng.choice((1, 60, 300)))]
                call = Call(past.position, prompt, None, 0, f"m{rng.randrange(3)}")
                client.append(name, prompt, mark=call.mark)
                past.add(call)
                told = client.get_session(name)
                marks = {m.mark: m.position for m in told.marks}
                assert marks.items() <= past.marks.items()
                for mark in past.marks.keys() - marks.keys():
                    assert failed(lambda: client.rewind(name, mark=mark)).reason == "MARK_NOT_FOUND"
                if told.turns < len(past.turns):
                    assert out_of_range(lambda: client.rewind(name, turns=told.turns + 1))
                check_nothing_below(client, past, told)
                ways = [("turns", rng.randint(1, told.turns))] if told.turns else []
                ways += [("mark", rng.choice(sorted(marks)))] if marks else []
                if told.rewind_position_min < told.position:
                    ways.append(("tokens", rng.randint(1, told.position - told.rewind_position_min)))
                if ways and rng.random() < 0.5:
                    way, value = rng.choice(ways)
                    position = {"tokens": told.position - value if way == "tokens" else 0, "mark": marks.get(value),
                                "turns": past.turns[-value] if way == "turns" else 0}[way]
                    assert client.rewind(name, **{way: value}).session.position == position
                    past.cut(position)
            for name, past in pasts.items():
                check_against_replay(client, past, name)


def test_a_session_that_left_the_device_goes_back(tmp_path, full, rng):
    """Through the host's memory and the directory, its marks and turns with it."""
    flags = ["--backend=cpu", "--sessions_max=2", f"--host_state_bytes=200000", f"--state_dir={tmp_path}"]
    with Server(MODEL, *flags) as server, Client(server.address) as client:
        works = [Rewinds(client, rng, client.create_session(f"s{i}").name) for i in range(8)]
        for i in range(400 if full else 60):
            work = rng.choice(works)
            work.step()
        for work in works:
            check_against_replay(client, work.past, work.name)
        metrics = server.metrics()
        assert all(metrics[f'barista_evictions_total{{tier="{t}"}}'] > 0 for t in ("host", "directory"))
