"""Snapshots: a state that was kept goes on as if nothing had been, here and in the next process; damage is told."""
import secrets

import pytest

from client import Client, Generation, failed, past_of, request
from conftest import DEMO, GOLDEN
from server import Server, state_files
from test_sessions import SAMPLINGS, go_on, length, observed, read

MODEL = GOLDEN / "variants/macchiato-conv-rope"
MODELS = {"conv-rope-cpu": (MODEL, "--backend=cpu"), "conv-rope-ref": (MODEL, "--backend=ref"),
          "demo-cpu": (DEMO, "--backend=cpu"), "gemma-macchiato-cpu": (GOLDEN / "variants/gemma-macchiato", "--backend=cpu"),
          "full-rope-ref": (GOLDEN / "extra/full-rope", "--backend=ref")}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("state")
    with Server(MODEL, "--backend=cpu", "--sessions_max=4", f"--state_dir={directory}") as server:
        server.files = directory / "snapshots"
        yield server


@pytest.fixture
def client(server):
    with Client(server.address) as client:
        yield client
        client.delete_sessions()
        for snapshot in client.list_snapshots(1000).snapshots:
            client.delete_snapshot(snapshot.name)
    assert state_files(server.files) == []


def a_call(rng, vocabulary, first):
    """(prompt or None, sampling, tokens) of a call."""
    prompt = None
    if first or rng.random() < 0.5:
        prompt = [rng.randrange(vocabulary) for _ in range(rng.choice((1, 7, 64, 65, 200)))]
    return prompt, rng.choice(list(SAMPLINGS.values())), rng.randint(1, 20)


def run(client, name, call):
    prompt, sampling, tokens = call
    return observed(go_on(client, name, tokens, sampling, prompt))


def refusal(call):
    got = failed(call)
    return got.code, got.reason


@pytest.mark.parametrize("model, backend", MODELS.values(), ids=MODELS)
def test_what_was_kept_goes_on_as_if_nothing_had_been(tmp_path, rng, full, model, backend):
    """Here, over an existing session, and in the next process with the same directory."""
    flags = [backend, "--sessions_max=8", f"--state_dir={tmp_path}"]
    kept = {}  # snapshot: (the session's bytes then, calls after it, what they drew, the bytes at the end)
    with Server(model, *flags) as server, Client(server.address) as client:
        vocabulary = client.model().architecture.vocab_size
        for i in range(30 if full else 4):
            name, other = client.create_session().name, client.create_session("other").name
            for turn in range(rng.randint(1, 3)):
                run(client, name, a_call(rng, vocabulary, turn == 0))
            if rng.random() < 0.3:
                client.append(name, [rng.randrange(vocabulary) for _ in range(rng.choice((1, 70)))])
            snapshot = client.snapshot(name, f"kept{i}", {"turn": str(i)})
            assert snapshot.position == client.get_session(name).position
            then = past_of(client.export_session(name))
            calls = [a_call(rng, vocabulary, False) for _ in range(3)]
            drew = [run(client, name, call) for call in calls]
            kept[snapshot.name] = then, calls, drew, past_of(client.export_session(name))
            run(client, other, a_call(rng, vocabulary, True))
            for replace, session_id in ((False, "copy"), (True, "other"), (True, name.removeprefix("sessions/"))):
                check_restored(client, snapshot.name, session_id, replace, *kept[snapshot.name])
            client.delete_sessions()
    with Server(model, *flags) as server, Client(server.address) as client:
        listed = client.list_snapshots().snapshots
        assert sorted(kept) == [s.name for s in listed]
        for name, known in kept.items():
            check_restored(client, name, "again", False, *known)
            client.delete_session("sessions/again")


def check_restored(client, snapshot, session_id, replace, then, calls, drew, end):
    restored = client.restore(snapshot, session_id, replace)
    assert restored.prefill_tokens == 0
    name = f"sessions/{session_id}"
    assert restored.session.name == name and not restored.session.busy
    assert restored.session.position == client.get_snapshot(snapshot).position
    assert past_of(client.export_session(name)) == then
    assert [run(client, name, call) for call in calls] == drew
    assert past_of(client.export_session(name)) == end


def test_a_session_is_kept_while_it_generates(client, rng):
    """At a whole step; what is drawn afterwards is what the session itself drew."""
    sampling, name = SAMPLINGS["penalties"], client.create_session().name
    stream = client.inference.Generate(
        request([5, 6, 7], sampling, length(1 << 20), session=name, logprobs=2), timeout=60)
    got, kept = Generation(), []
    for i in range(4):
        read(stream, got, len(got.ids if got.choices else ()) + rng.randint(1, 20))
        kept.append(client.snapshot(name, f"at{i}"))
        assert kept[-1].position >= 3 + len(got.ids) and client.get_session(name).busy
    read(stream, got, kept[-1].position - 3 + 30)
    stream.cancel()
    for snapshot in kept:
        drawn, restored = snapshot.position - 3, client.restore(snapshot.name).session.name
        ids, logprobs = (x[drawn:drawn + 30] for x in observed(got))
        assert observed(go_on(client, restored, 30, sampling)) == (ids, logprobs), drawn
        client.delete_session(restored)


def test_what_is_told_of_a_snapshot(server, client):
    with client.session() as name:
        run(client, name, ([1, 2, 3], SAMPLINGS["seeded"], 5))
        tags = {"k" * 64: "v" * 256, "é": "", **{str(i): "x" for i in range(14)}}
        made = client.snapshot(name, "A-z_0.9", tags)
    model = client.model()
    assert (made.name, made.session, made.position) == ("snapshots/A-z_0.9", name, 8)
    assert dict(made.tags) == tags and made.model_fingerprint == model.fingerprint
    assert made.create_time.ToNanoseconds() > 0
    (file,) = state_files(server.files)
    assert made.bytes == file.stat().st_size > 0
    got, listed = client.get_snapshot(made.name), client.list_snapshots().snapshots[0]
    for told in (got, listed):  # the store keeps milliseconds
        assert told.create_time.ToMilliseconds() == made.create_time.ToMilliseconds()
        told.create_time.CopyFrom(made.create_time)
        assert told == made
    client.delete_snapshot(made.name)
    assert state_files(server.files) == []


def test_an_empty_session_is_kept_as_one(client):
    with client.session() as name:
        snapshot = client.snapshot(name)
        assert snapshot.position == 0
        wanted = run(client, name, ([4, 5], SAMPLINGS["seeded"], 9))
    restored = client.restore(snapshot.name).session
    assert restored.position == 0
    assert failed(lambda: client.generate(None, session=restored.name)).code == "INVALID_ARGUMENT"
    assert run(client, restored.name, ([4, 5], SAMPLINGS["seeded"], 9)) == wanted


def test_a_drawn_id_is_another_each_time(client):
    with client.session() as name:
        drawn = {client.snapshot(name).name for _ in range(4)}
        assert len(drawn) == 4
        sessions = {client.restore(min(drawn)).session.name for _ in range(3)}
        assert len(sessions) == 3


def test_replace_is_asked_for(client):
    """Of a snapshot, and of a session, whose marks are gone then."""
    with client.session() as name:
        run(client, name, ([1], SAMPLINGS["greedy"], 5))
        first = client.snapshot(name, "kept", {"a": "1"})
        client.append(name, [2, 3], mark="here")
        assert refusal(lambda: client.snapshot(name, "kept")) == ("ALREADY_EXISTS", "SNAPSHOT_EXISTS")
        assert client.get_snapshot(first.name).position == first.position == 6
        taken = name.removeprefix("sessions/")
        assert refusal(lambda: client.restore(first.name, taken)) == ("ALREADY_EXISTS", "SESSION_EXISTS")
        assert client.get_session(name).position == 8
        assert client.restore(first.name, taken, replace=True).session.position == 6
        put_back = client.get_session(name)
        assert (put_back.position, list(put_back.marks), put_back.turns) == (6, [], 0)
        assert put_back.rewind_position_min == 6
        client.append(name, [2, 3, 4, 5])
        second = client.snapshot(name, "kept", {"b": "2"}, replace=True)
        assert (second.position, dict(second.tags)) == (10, {"b": "2"})
        assert client.get_snapshot("snapshots/kept").position == 10
        assert client.list_snapshots().total_size == 1
        assert client.restore("snapshots/kept", "new", replace=True).session.position == 10  # replace may make
        assert client.snapshot(name, "new", replace=True).position == 10


def test_a_busy_session_is_not_replaced(client):
    with client.session() as name:
        run(client, name, ([1], SAMPLINGS["greedy"], 5))
        client.snapshot(name, "kept")
    name = client.create_session("busy").name
    stream = client.inference.Generate(request([1], {}, length(1 << 20), session=name), timeout=60)
    next(stream)
    got = failed(lambda: client.restore("snapshots/kept", "busy", replace=True))
    assert (got.code, got.reason) == ("ABORTED", "SESSION_BUSY") and name in got.message
    next(stream)
    stream.cancel()


def test_a_snapshot_outlives_its_session(client):
    with client.session() as name:
        drew = run(client, name, ([9, 8], SAMPLINGS["seeded"], 30))
        client.rewind(name, tokens=20)
        kept = client.snapshot(name)
    assert kept.position == 12 and client.get_snapshot(kept.name).session == name
    restored = client.restore(kept.name).session.name
    ids, logprobs = observed(go_on(client, restored, 20, SAMPLINGS["seeded"]))
    assert (ids, logprobs) == (drew[0][10:], drew[1][10:])


@pytest.mark.parametrize("size", [1, 3, 11, 12, 1000, None])
def test_pages_give_every_snapshot_once_in_order(client, size, rng):
    ids = sorted({"".join(rng.choices("abzABZ059-_.", k=rng.randint(1, 64))) for _ in range(10)} | {"a", "a."})
    with client.session() as name:
        for snapshot_id in rng.sample(ids, len(ids)):
            client.snapshot(name, snapshot_id)
    seen, pages, token = [], 0, None
    while token != "":
        page = client.list_snapshots(size, token)
        assert page.total_size == len(ids)
        seen += [s.name for s in page.snapshots]
        pages, token = pages + 1, page.next_page_token
    assert seen == [f"snapshots/{i}" for i in ids] and pages == -(-len(ids) // (size or 100))


def test_what_is_not_there_is_told(client):
    missing = ("NOT_FOUND", "SNAPSHOT_NOT_FOUND")
    for call in (client.get_snapshot, client.delete_snapshot, client.restore):
        got = failed(lambda c=call: c("snapshots/none"))
        assert (got.code, got.reason) == missing and "snapshots/none" in got.message
    assert refusal(lambda: client.snapshot("sessions/none")) == ("NOT_FOUND", "SESSION_NOT_FOUND")
    assert client.list_snapshots().total_size == client.list_sessions().total_size == 0


def test_no_room_for_the_session_is_told(tmp_path):
    flags = ["--backend=cpu", "--sessions_max=2", f"--state_dir={tmp_path}", "--directory_state_bytes=0"]
    with Server(MODEL, *flags) as server, Client(server.address) as client:
        assert client.model().memory.sessions_total_max == 2
        kept = client.snapshot(client.create_session("first").name).name
        second = client.restore(kept, "second").session.name
        got = failed(lambda: client.restore(kept, "third"))
        assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX") and got.retry_seconds > 0
        assert client.restore(kept, "second", replace=True).session.position == 0
        client.delete_session(second)
        assert client.restore(kept, "third").session.position == 0


def test_without_a_store_there_are_none(servers):
    client = servers(MODEL, "--backend=cpu").client
    with client.session() as name:
        for call in (lambda: client.snapshot(name), lambda: client.restore("snapshots/a"), client.list_snapshots,
                     lambda: client.get_snapshot("snapshots/a"), lambda: client.delete_snapshot("snapshots/a")):
            assert refusal(call) == ("FAILED_PRECONDITION", "NO_STORE")


def test_a_snapshot_of_another_model_is_refused(tmp_path, server, client):
    """And stays where it is, for a server that has its model."""
    other = GOLDEN / "variants/macchiato-rglru"
    mismatch = ("FAILED_PRECONDITION", "MODEL_MISMATCH")
    with Server(other, "--backend=cpu", "--sessions_max=4", f"--state_dir={tmp_path}") as second:
        with Client(second.address) as others, others.session() as name:
            others.append(name, [1, 2, 3])
            others.snapshot(name, "kept")
        (file,) = state_files(tmp_path / "snapshots")
        copied = server.files / file.name
        copied.write_bytes(file.read_bytes())
        assert refusal(lambda: client.restore("snapshots/kept")) == mismatch
        assert refusal(lambda: client.get_snapshot("snapshots/kept")) == mismatch
        assert [s.name for s in client.list_snapshots().snapshots] == ["snapshots/kept"]
        with Client(second.address) as others:
            assert others.restore("snapshots/kept").session.position == 3


def damages(rng, data, count):
    """(what was done, the bytes) of a file that is no longer what was kept."""
    yield "empty", b""
    yield "longer", data + b"\0"
    yield "zeros", bytes(len(data))
    for cut in (1, 7, 64, 127, 128, len(data) // 2, len(data) - 32, len(data) - 1):
        yield f"cut to {cut}", data[:cut]
    for _ in range(count):
        at = rng.randrange(len(data))
        changed = bytearray(data)
        changed[at] ^= 1 << rng.randrange(8)
        yield f"bit of byte {at}", bytes(changed)


def test_damage_is_told_and_the_server_lives(server, client, rng, full):
    with client.session() as name:
        run(client, name, ([1, 2, 3], SAMPLINGS["seeded"], 9))
        kept = client.snapshot(name, "kept", {"tag": "value"})
        wanted = past_of(client.export_session(name))
    (file,) = state_files(server.files)
    data = file.read_bytes()
    client.create_session("victim")
    for what, changed in damages(rng, data, 1000 if full else 60):
        file.write_bytes(changed)
        for call in (lambda: client.restore(kept.name), lambda: client.restore(kept.name, "victim", replace=True)):
            got = failed(call)
            assert (got.code, got.reason) == ("DATA_LOSS", "SNAPSHOT_DAMAGED") and kept.name in got.message, what
        assert client.list_snapshots().total_size == 1
        assert client.get_session("sessions/victim").position == 0
    file.write_bytes(data)
    restored = client.restore(kept.name).session.name
    assert past_of(client.export_session(restored)) == wanted


def key_file(path):
    path.write_text(secrets.token_hex(32) + "\n")
    path.chmod(0o600)
    return f"--seal_key_file={path}"


def test_with_a_key_files_tell_nothing_and_only_that_key_opens_them(tmp_path, rng):
    state = tmp_path / "state"
    keys = [key_file(tmp_path / name) for name in ("key", "other")]
    flags = ["--backend=cpu", "--sessions_max=2", f"--state_dir={state}"]
    secret = [rng.randrange(64, 320) for _ in range(60)]
    with Server(MODEL, *flags) as server, Client(server.address) as client, client.session() as name:
        # Without one the past's tokens can be found in the file: they are counted for the penalties.
        client.append(name, secret)
        client.snapshot(name, "plain", {"tag": "a-tag-to-find"})
        plain = [p.read_bytes() for p in state_files(state / "snapshots")]
        client.delete_snapshot("snapshots/plain")
    with Server(MODEL, *flags, keys[0]) as server, Client(server.address) as client:
        name = client.create_session("a-name-to-find").name
        client.append(name, secret)
        kept = client.snapshot(name, "kept", {"tag": "a-tag-to-find"})
        client.create_session("one-more"), client.create_session("and-one-more")
        client.append("sessions/one-more", [1]), client.append("sessions/and-one-more", [1])
        wanted = observed(go_on(client, name, 20, SAMPLINGS["penalties"]))
        past = past_of(client.export_session(name))
    for directory in ("snapshots", "sessions"):
        files = [p.read_bytes() for p in state_files(state / directory)]
        assert len(files) == (1 if directory == "snapshots" else 3)
        for data in files:
            assert data[:8] == b"BaristaE"
            for token in set(secret):
                assert counted(token) not in data
            for word in (b"a-tag-to-find", b"a-name-to-find", b"BaristaS"):
                assert word not in data
    assert all(counted(token) in plain[0] for token in set(secret)) and b"a-tag-to-find" in plain[0]
    with Server(MODEL, *flags, keys[1]) as server, Client(server.address) as client:
        for call in (client.restore, client.get_snapshot):
            assert refusal(lambda c=call: c(kept.name)) == ("DATA_LOSS", "SNAPSHOT_DAMAGED")
        assert client.list_sessions().total_size == 0
    with Server(MODEL, *flags) as server, Client(server.address) as client:
        assert refusal(lambda: client.restore(kept.name)) == ("DATA_LOSS", "SNAPSHOT_DAMAGED")
    with Server(MODEL, *flags, keys[0]) as server, Client(server.address) as client:
        assert client.get_snapshot(kept.name).tags["tag"] == "a-tag-to-find"
        restored = client.restore(kept.name, "restored").session.name
        assert observed(go_on(client, restored, 20, SAMPLINGS["penalties"])) == wanted
        assert past_of(client.export_session(restored)) == past_of(client.export_session(name)) == past


def counted(token):
    """A token in a prompt as session_bytes.h writes it: id, times drawn, 1."""
    return token.to_bytes(4, "little") + bytes(4) + b"\1"
