"""Golden logits through the wire: Score, greedy Generate and Classify, on both backends."""
import numpy as np
import pytest

import golden
from client import Client
from golden import Golden
from server import Server


@pytest.fixture(params=["ref", "cpu"])
def serve(request):
    return lambda name: Server(golden.DIRECTORY / name, f"--backend={request.param}", "--sessions_max=4", metrics="")


def tolerance(name, backend, dtype):
    """Max abs error over max abs logit."""
    if name == "variants/latte-extreme":
        return 2e-4
    return 1e-2 if backend != "ref" and dtype == "bf16" else 2e-5


@pytest.mark.parametrize("name", golden.directories(classifiers=False))
def test_score_is_log_softmax_of_the_logits(serve, name):
    with serve(name) as server, Client(server.address) as client:
        bound = 2 * tolerance(name, server.backend, client.model().weight_dtype)
        for tokens, logits in Golden(name).rows():
            answer = client.score(tokens, alternatives=3)
            assert [t.token_id for t in answer.tokens] == tokens.tolist()
            assert not answer.tokens[0].HasField("logprob") and not answer.tokens[0].alternatives
            got = np.array([t.logprob for t in answer.tokens[1:]])
            want = golden.log_softmax(logits)[np.arange(len(tokens) - 1), tokens[1:]]
            assert np.abs(got - want).max() <= bound * np.abs(logits).max()
            assert answer.total_logprob == pytest.approx(got.sum(), rel=1e-6, abs=1e-6)
            best = np.array([t.alternatives[0].logprob for t in answer.tokens[1:]])
            assert np.abs(best - golden.log_softmax(logits)[:-1].max(-1)).max() <= bound * np.abs(logits).max()


@pytest.mark.parametrize("name", [n for n in golden.directories(classifiers=False) if n.startswith("official")])
def test_greedy_generate_is_greedy_tokens(serve, name):
    data = Golden(name)
    with serve(name) as server, Client(server.address) as client:
        want = data.greedy_tokens.tolist()
        got = client.generate(data.greedy_prompt, {"temperature": 0}, {"max_tokens": len(want)})
        assert got.ids == want


@pytest.mark.parametrize("name", golden.directories(classifiers=True))
def test_classify_gives_the_logits(serve, name):
    with serve(name) as server, Client(server.address) as client:
        for tokens, logits in Golden(name).rows():
            answer = client.classify(tokens)
            assert np.abs(np.array(answer.logits) - logits).max() <= 1e-4
            assert answer.usage.prompt_tokens == len(tokens) and answer.usage.generated_tokens == 0
