"""Associative recall through the server: the predictions, and so the recall, are those of the framework."""
import json

import pytest

from client import Client
from server import Server
from stubs import ROOT

DIRECTORY = ROOT / "tests/mqar"
MODELS = ("macchiato", "window-only", "latents-only")


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((DIRECTORY / "eval.json").read_text())


def recall(client, sequences, name, exact):
    """(right, queries). `exact`: each prediction and log-probability is the framework's too."""
    right = queries = 0
    for case in sequences:
        # Entry t + 1 of Score tells what the model expects after token t.
        entries = client.score(case["tokens"], alternatives=1).tokens
        after = [entries[p + 1] for p in case["query_positions"]]
        assert [e.token_id for e in after] == case["answers"]
        predictions = [e.alternatives[0].token_id for e in after]
        if exact:
            assert predictions == case["predictions"][name]
            assert [e.logprob for e in after] == pytest.approx(case["answer_logprobs"][name], abs=1e-4)
        right += sum(a == b for a, b in zip(predictions, case["answers"]))
        queries += len(after)
    return right, queries


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["f32", "auto"])
def test_recall_is_that_of_the_framework(evaluation, name, dtype):
    """As stored, in bf16, activations are rounded for products: an ablation's near ties may then fall otherwise."""
    flags = ["--backend=cpu", "--sessions_max=4", f"--weights_dtype={dtype}"]
    with Server(DIRECTORY / name, *flags, metrics="") as server, Client(server.address) as client:
        right, queries = recall(client, evaluation["sequences"], name, exact=dtype == "f32")
    told = evaluation["models"][name]
    assert queries == told["queries"] and told["recall"] == told["right"] / queries
    assert abs(right - told["right"]) <= (0 if dtype == "f32" or name == "macchiato" else queries // 100)


def test_the_state_is_what_recalls(evaluation):
    told = {name: evaluation["models"][name]["recall"] for name in MODELS}
    assert told["macchiato"] >= 0.95
    assert max(told["window-only"], told["latents-only"]) <= told["macchiato"] - 0.2


@pytest.mark.parametrize("backend", ["cpu", "ref"])
def test_generate_answers_the_queries(evaluation, full, backend):
    """The same as above, token by token: each query is a prompt, and the answer is generated."""
    with (Server(DIRECTORY / "macchiato", f"--backend={backend}", "--sessions_max=4") as server,
          Client(server.address) as client):
        for case in evaluation["sequences"][:len(evaluation["sequences"]) if full else 8]:
            for position, want in zip(case["query_positions"], case["predictions"]["macchiato"]):
                assert client.greedy(case["tokens"][:position + 1], 1).ids == [want]
