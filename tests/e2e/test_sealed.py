"""Sealed states: the caller keeps the past, any server with the key goes on from it, and nobody can alter it."""
import random
import secrets

import pytest

from client import Client, failed
from conftest import DEMO, GOLDEN
from server import Server
from test_sessions import SAMPLINGS, go_on, length, observed
from test_snapshots import key_file

MODEL = GOLDEN / "variants/macchiato-conv-rope"
GREEDY = SAMPLINGS["greedy"]


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return key_file(tmp_path_factory.mktemp("key") / "key")


@pytest.fixture(scope="module")
def server(key):
    with Server(MODEL, "--backend=cpu", "--sessions_max=4", key, "--tenant_header=x-tenant") as server:
        yield server


@pytest.fixture
def client(server):
    with Client(server.address) as client:
        yield client
    server.settled()


def sealed_call(client, prompt, sampling, tokens, state=None, **fields):
    """(what was drawn, the state after it)."""
    got = client.generate(prompt, sampling, length(tokens), logprobs=2, seal=True, sealed_state=state, **fields)
    assert len(got.ids) == tokens
    assert 0 < len(got.summary.sealed_state) <= client.model().limits.sealed_state_bytes_max
    return got, got.summary.sealed_state


@pytest.mark.parametrize("model, backend", [(MODEL, "cpu"), (MODEL, "ref"), (DEMO, "cpu"),
                                            (GOLDEN / "variants/gemma-macchiato", "cpu")],
                         ids=["conv-rope", "conv-rope-ref", "demo", "gemma-macchiato"])
def test_three_servers_in_turn_draw_what_one_with_a_session_draws(key, full, model, backend):
    rng = random.Random(f"{model.name} {backend}")
    flags = [f"--backend={backend}", "--sessions_max=2", "--max_positions=16384", key]
    with (Server(model, *flags) as one, Server(model, *flags) as two, Server(model, *flags) as three,
          Client(one.address) as a, Client(two.address) as b, Client(three.address) as c):
        vocabulary, calls = a.model().architecture.vocab_size, 0
        for _ in range(10 if full else 1):
            state = None
            with a.session() as name:
                for turn in range(100 if full else 12):
                    prompt = None
                    if turn == 0 or rng.random() < 0.4:
                        prompt = [rng.randrange(vocabulary) for _ in range(rng.choice((1, 63, 64, 65, 200)))]
                    sampling = {**rng.choice(list(SAMPLINGS.values())), "seed": rng.getrandbits(64)}
                    tokens = rng.randint(1, 12)
                    got, state = sealed_call((b, c, a)[turn % 3], prompt, sampling, tokens, state)
                    wanted = go_on(a, name, tokens, sampling, prompt)
                    assert observed(got) == observed(wanted), turn
                    assert got.text == wanted.text
                    assert not got.summary.HasField("session_position")
                    calls += 1
        for server in (one, two, three):
            assert server.settled()['barista_sessions{tier="device"}'] == 0  # nothing was kept
    print(f"result: sealed: {model.name} {backend}: {calls} calls through 3 servers equal one session")


def test_a_state_may_be_used_any_number_of_times(client):
    _, state = sealed_call(client, [1, 2, 3], GREEDY, 5)
    first = client.generate([7], SAMPLINGS["seeded"], length(20), sealed_state=state, logprobs=2)
    assert not first.summary.HasField("sealed_state")  # not asked for
    for _ in range(3):
        again = client.generate([7], SAMPLINGS["seeded"], length(20), sealed_state=state, logprobs=2)
        assert observed(again) == observed(first)
    assert first.summary.usage.prompt_tokens == 1


def test_each_seal_is_another_and_tells_nothing(client):
    states = [sealed_call(client, [1, 2, 3], GREEDY, 5)[1] for _ in range(2)]
    assert states[0] != states[1] and len(states[0]) == len(states[1])
    assert all(s[:8] == b"BaristaE" and b"BaristaS" not in s for s in states)


def test_where_a_call_fails_or_needs_none_there_is_no_state(client):
    assert not client.generate([1], GREEDY, length(3)).summary.HasField("sealed_state")
    assert failed(lambda: client.generate([1 << 30], GREEDY, length(3), seal=True)).reason == "INVALID_FIELD"


def refused(call):
    got = failed(call)
    return got.code, got.reason


REFUSED = ("PERMISSION_DENIED", "SEALED_STATE_REFUSED")


def test_an_altered_state_is_refused_wherever_it_was_altered(server, client, full):
    _, state = sealed_call(client, [1, 2, 3], GREEDY, 5)
    rng = random.Random(5)
    bad = [b"", b"x", state + b"\0", state * 2, bytes(len(state)), state[::-1]]
    bad += [state[:n] for n in (7, 8, 12, 28, 43, 44, 45, len(state) // 2, len(state) - 16, len(state) - 1)]
    bad += [state[n:] for n in (1, 8, 28)]
    regions = ((0, 8), (8, 12), (12, 16), (16, 28), (28, 156), (156, len(state) - 16), (len(state) - 16, len(state)))
    for begin, end in regions:
        for _ in range(200 if full else 8):
            changed = bytearray(state)
            changed[rng.randrange(begin, end)] ^= 1 << rng.randrange(8)
            bad.append(bytes(changed))
    for each in bad:
        got = failed(lambda s=each: client.generate([1], GREEDY, length(3), sealed_state=s))
        assert (got.code, got.reason) == REFUSED and got.retry_seconds == 0
    other = sealed_call(client, [9], GREEDY, 5)[1]  # parts of two
    assert refused(lambda: client.generate([1], GREEDY, length(3), sealed_state=other[:28] + state[28:])) == REFUSED
    assert len(client.generate([1], GREEDY, length(3), sealed_state=state).ids) == 3


def test_a_key_opens_its_own_states_alone(tmp_path, client):
    _, state = sealed_call(client, [1, 2, 3], GREEDY, 5)
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", key_file(tmp_path / "other")) as server,
          Client(server.address) as others):
        assert refused(lambda: others.generate([1], GREEDY, length(3), sealed_state=state)) == REFUSED


def test_without_a_key_there_is_neither(servers):
    client = servers(MODEL, "--backend=cpu").client
    no_key = ("FAILED_PRECONDITION", "NO_SEAL_KEY")
    assert client.model().limits.sealed_state_bytes_max == 0
    assert refused(lambda: client.generate([1], GREEDY, length(3), seal=True)) == no_key
    assert refused(lambda: client.generate([1], GREEDY, length(3), sealed_state=secrets.token_bytes(1000))) == no_key
    assert len(client.generate([1], GREEDY, length(3), seal=False).ids) == 3


@pytest.mark.parametrize("model, backend", [(GOLDEN / "variants/macchiato-rglru", "cpu"), (MODEL, "ref")],
                         ids=["model", "backend"])
def test_a_state_of_another_model_is_refused(key, client, model, backend):
    _, state = sealed_call(client, [1, 2, 3], GREEDY, 5)
    with Server(model, f"--backend={backend}", "--sessions_max=2", key) as server, Client(server.address) as others:
        got = refused(lambda: others.generate([1], GREEDY, length(3), sealed_state=state))
        assert got == ("FAILED_PRECONDITION", "MODEL_MISMATCH")


def test_a_state_is_its_tenants(server):
    with (Client(server.address, metadata=[("x-tenant", "red")]) as red,
          Client(server.address, metadata=[("x-tenant", "blue")]) as blue, Client(server.address) as nobody):
        _, state = sealed_call(red, [1, 2, 3], GREEDY, 5)
        for other in (blue, nobody):
            assert refused(lambda c=other: c.generate([1], GREEDY, length(3), sealed_state=state)) == REFUSED
        assert len(red.generate([1], GREEDY, length(3), sealed_state=state).ids) == 3


def test_a_snapshots_bytes_are_no_sealed_state(tmp_path, key):
    """Though the same key encrypts both."""
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", f"--state_dir={tmp_path}", key) as server,
          Client(server.address) as client):
        client.snapshot(client.create_session("a").name, "kept")
        (file,) = (tmp_path / "snapshots").glob("*.state")
        assert refused(lambda: client.generate([1], GREEDY, length(3), sealed_state=file.read_bytes())) == REFUSED


def test_positions_are_bounded_where_the_model_bounds_them(key):
    with (Server(GOLDEN / "extra/full-rope", "--backend=cpu", "--max_positions=64", "--sessions_max=2", key) as server,
          Client(server.address) as client):
        _, state = sealed_call(client, [1] * 30, GREEDY, 20)
        for prompt, tokens in ((None, 15), ([1], 14), ([1] * 15, 1)):
            got = failed(lambda: client.generate(prompt, GREEDY, length(tokens), sealed_state=state))
            assert (got.code, got.reason) == ("OUT_OF_RANGE", "POSITION_OUT_OF_RANGE"), (prompt, tokens)
        assert len(client.generate([1] * 4, GREEDY, length(10), sealed_state=state).ids) == 10


def test_text_goes_on_in_the_middle_of_a_character(key):
    with (Server(DEMO, "--backend=cpu", "--sessions_max=2", key) as server, Client(server.address) as client):
        parts_of_characters = [i for i in range(256) if client.detokenize([i]) == "\ufffd"]
        sampling = {"temperature": 5, "top_k": 0, "seed": 3, "logit_bias": {i: 20 for i in parts_of_characters[::2]}}
        with client.session() as name:
            whole = go_on(client, name, 60, sampling, "# Größe ✓ ")
        state, parts = None, []
        for turn in range(60):
            got, state = sealed_call(client, None if turn else "# Größe ✓ ", sampling, 1, state)
            parts.append(got)
        assert [i for p in parts for i in p.ids] == whole.ids and whole.text.count("\ufffd") > 10
        assert "".join(p.text for p in parts) == whole.text
