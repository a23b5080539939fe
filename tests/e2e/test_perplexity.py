"""Held-out text of the demo model through Score: the perplexity is the framework's, document by document."""
import json
import math

import pytest

from client import Client
from conftest import DEMO
from server import Server
from stubs import inference


@pytest.fixture(scope="module")
def heldout():
    return json.loads((DEMO / "heldout.json").read_text())


def check(client, documents, tolerance=1e-3):
    """Sum and count over the documents; the perplexity of each is within `tolerance`, relative."""
    text = (DEMO / "heldout.txt").read_bytes()
    total = count = 0
    for document in documents:
        begin, end = document["bytes"]
        answer = client.inference.Score(inference.ScoreRequest(text=text[begin:end].decode()), timeout=120)
        assert [t.token_id for t in answer.tokens] == document["tokens"], document["name"]
        predicted = len(document["tokens"]) - 1
        perplexity = math.exp(-answer.total_logprob / predicted)
        assert perplexity == pytest.approx(math.exp(document["mean_nll"]), rel=tolerance), document["name"]
        total -= answer.total_logprob
        count += predicted
    return total, count


@pytest.mark.parametrize("dtype", ["auto", "f32"])
def test_perplexity_is_that_of_the_framework(servers, heldout, dtype):
    flags = [] if dtype == "auto" else [f"--weights_dtype={dtype}"]
    server = servers(DEMO, "--backend=cpu", *flags)
    # Products of bf16 round the activations too: single documents go further off than their mean.
    total, count = check(server.client, heldout["documents"], 1e-3 if dtype == "f32" else 5e-3)
    assert count == heldout["predicted_tokens"]
    assert math.exp(total / count) == pytest.approx(heldout["perplexity"], rel=1e-3)


@pytest.mark.parametrize("dtype, cost", [("int8", 0.005), ("int4", 0.05)])
def test_perplexity_of_quantised_weights(servers, heldout, dtype, cost):
    """Measured on a machine with AMX: int8 -0.0001, int4 0.032 (tests/bench/results)."""
    server = servers(DEMO, "--backend=cpu", f"--weights_dtype={dtype}")
    total, count = check(server.client, heldout["documents"], 0.5)
    assert abs(math.exp(total / count) / heldout["perplexity"] - 1) < cost


def test_perplexity_in_double_precision(heldout, full):
    """On plain loops; in short runs the shortest document alone."""
    documents = sorted(heldout["documents"], key=lambda d: len(d["tokens"]))
    with Server(DEMO, "--backend=ref", "--sessions_max=1") as server, Client(server.address) as client:
        check(client, documents if full else documents[:1])
