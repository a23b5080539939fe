"""Sessions that take in text of any length, leave as bytes and go on elsewhere, and bytes that are none."""
import random

import grpc
import pytest

from client import Client, failed, past_of, request
from conftest import DEMO, GOLDEN
from server import Server, until
from stubs import inference, session

SEEDED = {"temperature": 1, "top_k": 0, "seed": 11, "frequency_penalty": 0.3}


@pytest.fixture
def client(demo):
    yield demo.client
    demo.client.delete_sessions()


def go_on(client, name, tokens):
    """(ids, log-probabilities to the bit) of the next tokens."""
    got = client.generate(None, SEEDED, {"max_tokens": tokens, "ignore_eos": True}, session=name, logprobs=2)
    return got.ids, [e.SerializeToString() for e in got.logprobs]


def cut(rng, ids, most):
    pieces = []
    while ids:
        size = rng.randint(1, most)
        pieces, ids = pieces + [ids[:size]], ids[size:]
    return pieces


@pytest.mark.parametrize("model", ["demo", "macchiato-conv-rope", "macchiato-rglru"])
def test_how_an_append_is_cut_changes_no_bit(servers, full, model):
    path = DEMO if model == "demo" else GOLDEN / "variants" / model
    client = servers(path, "--backend=cpu").client
    rng = random.Random(model)
    vocabulary = client.model().architecture.vocab_size
    for _ in range(20 if full else 3):
        ids = [rng.randrange(vocabulary) for _ in range(rng.randint(300, 3000))]
        seen = []
        for most in (len(ids), 1000, 90, 7):
            with client.session() as name:
                answer = client.append(name, *cut(rng, ids, most))
                assert answer.session_position == answer.usage.prompt_tokens == len(ids)
                seen.append(go_on(client, name, 12))
        assert all(other == seen[0] for other in seen)
        whole = client.generate(ids, SEEDED, {"max_tokens": 12, "ignore_eos": True}, logprobs=2)
        assert (whole.ids, [e.SerializeToString() for e in whole.logprobs]) == seen[0]


def test_text_is_appended_as_generate_would_read_it(client):
    text = "import os\n\n\ndef main():\n"
    with client.session() as name, client.session() as other:
        assert client.append(name, text).session_position == len(client.tokenize(text).token_ids)
        client.append(other, "import os\n", "\n\ndef main():\n")
        assert go_on(client, name, 5)[0] == client.generate(
            text, SEEDED, {"max_tokens": 5, "ignore_eos": True}, logprobs=2).ids


def test_an_append_beside_streams_does_not_change_them(client):
    stop = {"max_tokens": 60, "ignore_eos": True}
    want = client.generate("def f(x):", SEEDED, stop).ids
    with client.session() as name:
        stream = client.inference.Generate(request("def f(x):", SEEDED, stop), timeout=60)
        client.append(name, *([list(range(2, 1000))] * 5))
        assert [i for message in stream for i in message.chunk.token_ids] == want


def test_a_cancelled_append_leaves_what_was_read(client):
    with client.session() as name:
        def endless():
            yield inference.AppendRequest(session=name, tokens=inference.TokenIds(ids=range(2, 1002)))
            while True:
                yield inference.AppendRequest(tokens=inference.TokenIds(ids=range(2, 402)))
        call = client.inference.Append.future(endless(), timeout=60)
        until(lambda: client.get_session(name).position > 3000, what="some of it")
        got = failed(lambda: client.generate("x", session=name))
        assert (got.code, got.reason) == ("ABORTED", "SESSION_BUSY")
        call.cancel()
        until(lambda: not client.get_session(name).busy, what="the end of the call")
        position = client.get_session(name).position
        assert position > 3000 and position % 64 == 0
        assert len(go_on(client, name, 3)[0]) == 3


IDS = inference.TokenIds(ids=[2, 3])


@pytest.mark.parametrize("messages, code, reason, field", [
    ([], "INVALID_ARGUMENT", "INVALID_FIELD", "session"),
    ([inference.AppendRequest(tokens=IDS)], "INVALID_ARGUMENT", "INVALID_FIELD", "session"),
    ([inference.AppendRequest(session="a", tokens=IDS)], "INVALID_ARGUMENT", "INVALID_FIELD", "session"),
    ([inference.AppendRequest(session="sessions/none", tokens=IDS)], "NOT_FOUND", "SESSION_NOT_FOUND", None),
    ([inference.AppendRequest(session="sessions/a")], "INVALID_ARGUMENT", "INVALID_FIELD", "text"),
    ([inference.AppendRequest(session="sessions/a", text="")], "INVALID_ARGUMENT", "INVALID_FIELD", "text"),
    ([inference.AppendRequest(session="sessions/a", tokens=inference.TokenIds(ids=[1 << 20]))], "INVALID_ARGUMENT",
     "INVALID_FIELD", "tokens.ids[0]"),
    ([inference.AppendRequest(session="sessions/a", tokens=IDS), inference.AppendRequest(session="sessions/b", tokens=IDS)],
     "INVALID_ARGUMENT", "INVALID_FIELD", "session"),
    ([inference.AppendRequest(session="sessions/a", tokens=IDS), inference.AppendRequest()], "INVALID_ARGUMENT",
     "INVALID_FIELD", "text"),
])
def test_bad_appends(client, messages, code, reason, field):
    client.create_session("a")
    got = failed(lambda: client.inference.Append(iter(messages), timeout=30))
    assert (got.code, got.reason) == (code, reason)
    if field:
        assert field in got.fields
    until(lambda: not client.get_session("sessions/a").busy, what="the end of the call")
    assert client.get_session("sessions/a").position in (0, 2)


def test_bytes_that_are_no_message_are_told_so(client):
    call = client.channel.stream_stream("/barista.v1.InferenceService/Append")
    got = failed(lambda: list(call(iter([b"\xff"]), timeout=30)))
    assert (got.code, got.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")


@pytest.mark.parametrize("model", ["demo", "macchiato-conv-rope", "gemma-macchiato", "latte-extreme"])
@pytest.mark.parametrize("backend", ["cpu", "ref"])
def test_a_session_goes_on_in_another_process(servers, model, backend):
    path = DEMO if model == "demo" else GOLDEN / "variants" / model
    first = servers(path, f"--backend={backend}").client
    rng = random.Random(model)
    vocabulary = first.model().architecture.vocab_size
    with Server(path, f"--backend={backend}", "--sessions_max=3") as server, Client(server.address) as second:
        for i, length in enumerate((1, 63, 200)):
            with first.session() as name:
                first.generate([rng.randrange(vocabulary) for _ in range(length)], SEEDED,
                               {"max_tokens": 20, "ignore_eos": True}, session=name)
                data = first.export_session(name)
                made = second.import_session(data, f"moved{i}", piece=rng.choice([1000, 70_000, 1 << 20]))
                assert made.position == first.get_session(name).position == length + 20
                assert past_of(second.export_session(made.name)) == past_of(data)
                want = go_on(first, name, 30)
                assert go_on(second, made.name, 30) == want
        got = failed(lambda: second.import_session(data))
        assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX")


def test_a_session_is_exported_while_it_generates(client):
    with client.session() as name:
        stop = {"max_tokens": 400, "ignore_eos": True}
        stream = client.inference.Generate(request("class A:\n", SEEDED, stop, session=name), timeout=60)
        tokens = list(next(stream).chunk.token_ids)
        data = client.export_session(name)
        for message in stream:
            tokens += message.chunk.token_ids
        start = client.get_session(name).position - 400
        made = client.import_session(data)
        drawn = made.position - start
        assert 0 < drawn <= 400
        assert go_on(client, made.name, 400 - drawn or 1)[0] == (tokens[drawn:] or go_on(client, name, 1)[0])


def test_bytes_that_are_no_session_take_no_slot(demo, client, servers, full):
    with client.session() as name:
        client.generate("import", {"temperature": 0}, {"max_tokens": 5}, session=name)
        data = client.export_session(name)
    rng = random.Random(3)
    bad = [b"", b"x", data[:-1], data + b"x", data * 2, data[:111], bytes(len(data)), data[32:]]
    for _ in range(1000 if full else 40):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        bad.append(bytes(changed))
    for each in bad:
        got = failed(lambda data=each: client.import_session(data))
        assert (got.code, got.reason) in [("INVALID_ARGUMENT", "SNAPSHOT_CORRUPT"), ("FAILED_PRECONDITION", "MODEL_MISMATCH")]
    for other, flag in ((GOLDEN / "variants/macchiato-rglru", "--backend=cpu"), (DEMO, "--backend=ref"),
                        (DEMO, "--weights_dtype=int8")):
        got = failed(lambda to=servers(other, flag).client: to.import_session(data))
        assert got.reason in ("MODEL_MISMATCH", "SNAPSHOT_CORRUPT")  # longer than any of that model: not read to its end
    assert demo.settled()['barista_sessions{tier="device"}'] == 0
    assert client.import_session(data).position == client.import_session(data).position > 0
    late = [session.ImportSessionRequest(data=data[:9]), session.ImportSessionRequest(session_id="late", data=data[9:])]
    got = failed(lambda: client.sessions.ImportSession(iter(late), timeout=30))
    assert (got.code, got.fields) == ("INVALID_ARGUMENT", ["session_id"])


def test_an_import_that_is_cancelled_makes_nothing(client):
    def never_ends():
        yield session.ImportSessionRequest(session_id="half", data=b"BaristaS")
        while True:
            yield session.ImportSessionRequest(data=b"")
    call = client.sessions.ImportSession.future(never_ends(), timeout=30)
    call.cancel()
    with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
        call.result()
    assert client.list_sessions().total_size == 0
