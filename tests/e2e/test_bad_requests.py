"""Requests that must be refused: code, reason, field and words of each; the server is alive and right after all."""
import collections

import pytest

from bad_requests import FLAGS, MODELS, ROWS
from client import Client, failed, greedy, collect
from conftest import GOLDEN
from golden import Golden
from server import Server
from stubs import inference
from test_snapshots import key_file


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """{name of MODELS: (server, client)}"""
    running, directory = {}, tmp_path_factory.mktemp("kept")
    more = {"attention": ["--max_positions=64"],
            "kept": [f"--state_dir={directory / 'state'}", key_file(directory / "key")]}
    for name, model in MODELS.items():
        flags = [*FLAGS, *more.get(name, ())]
        server = Server(GOLDEN / model, "--backend=cpu", "--sessions_max=16", *flags)
        running[name] = server, Client(server.address)
    yield running
    for server, client in running.values():
        client.channel.close()
        assert server.stop() == 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_is_refused(clients, row):
    server, client = clients[row.server]
    got = failed(lambda: client.raw(row.method, row.payload))
    assert (got.code, got.reason) == (row.code, row.reason), got
    assert got.domain == ("barista" if row.reason else "")
    assert got.fields == ([row.field] if row.field else [])
    assert got.retry_seconds == 0  # the same request fails again
    missing = [word for word in row.words if word not in got.message]
    assert not missing, f"{missing} not in: {got.message}"
    assert server.process.poll() is None


def test_servers_are_right_after_all_of_it(clients):
    """Each row once more at a stretch: the metrics count them by reason, and good requests get good answers."""
    before = {name: server.settled() for name, (server, _) in clients.items()}
    wanted = collections.Counter()
    for row in ROWS:
        failed(lambda: clients[row.server][1].raw(row.method, row.payload))
        if row.reason and row.reason != "MALFORMED_REQUEST":
            wanted[row.server, row.reason.lower()] += 1
    for name, (server, _) in clients.items():
        after = server.settled()
        for key, value in after.items():
            if key.startswith("barista_errors_total") and "malformed" not in key:
                reason = key.split('"')[1]
                assert value - before[name][key] == wanted[name, reason], (name, key)
    data = Golden(MODELS["text"])
    client = clients["text"][1]
    assert collect(client.inference.Generate(greedy(data.greedy_prompt, 64))).ids == data.greedy_tokens.tolist()
    tokens, logits = next(Golden(MODELS["classifier"]).rows())
    assert list(clients["classifier"][1].classify(tokens).logits) == pytest.approx(logits.tolist(), abs=1e-4)


def test_unusual_but_good_requests_are_answered(clients):
    """Limits themselves, repeated entries and empty optional messages are no errors."""
    client = clients["text"][1]
    stop = {"max_tokens": 3, "min_tokens": 3, "stop_token_ids": [1] * 64, "stop_strings": ["aa"] * 16}
    sampling = {"temperature": 100, "top_k": 260, "top_p": 1, "min_p": 1, "typical_p": 1, "repetition_penalty": 0.01,
                "presence_penalty": 100, "frequency_penalty": -100, "logit_bias": {259: -100}, "seed": 2**64 - 1}
    got = client.generate([5] * 1000, sampling, stop, n=8, logprobs=20, prompt_logprobs=20, request_id="x" * 64)
    assert [len(got.choices[i].ids) for i in range(8)] == [3] * 8
    assert got.summary.seed == 2**64 - 1
    drafted = client.generate([5] * 1000, sampling, stop, n=8, speculation_tokens=16)
    assert [drafted.choices[i].ids for i in range(8)] == [got.choices[i].ids for i in range(8)]
    assert client.generate([1] * 2000, {}, {"max_tokens": 1}).summary.usage.prompt_tokens == 2000
    assert len(clients["attention"][1].greedy([1] * 30, 34).ids) == 34
    assert len(client.greedy([1], 3, cache=inference.CACHE_UNSPECIFIED).ids) == 3
    kept = clients["kept"][1]
    with kept.session() as name:
        kept.append(name, [1] * 2000, mark="x" * 64)
        assert kept.rewind(name, tokens=256).session.position == 1744
        tags = {"é" * 32: "é" * 128, **{str(i) * 64: "" for i in range(10)}, **{f"k{i}": "v" * 256 for i in range(5)}}
        assert dict(kept.snapshot(name, "x" * 64, tags).tags) == tags and len(tags) == 16
        assert kept.list_snapshots(1).total_size == kept.list_snapshots(1000).total_size == 1
        assert kept.restore("snapshots/" + "x" * 64, "y" * 64).session.position == 1744
    state = kept.greedy([1], 3, seal=True).summary.sealed_state
    assert len(kept.greedy([1], 3, sealed_state=state, seal=True, n=1).ids) == 3
