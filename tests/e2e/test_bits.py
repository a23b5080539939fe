"""The bits of a request do not depend on its company: alone and among 1, 7 and 31 others that join and leave."""
import random
import threading

import pytest

from client import Client, request
from conftest import DEMO, GOLDEN

# Prompts of one step and of several, shorter and longer than a chunk and a window.
LENGTHS = (1, 63, 64, 65, 200, 900)


def observed(generation):
    """All that must be equal: ids, text and the float32 bits of every log-probability."""
    return [(c.ids, c.text, [e.SerializeToString() for e in c.logprobs]) for _, c in sorted(generation.choices.items())]


class Company:
    """`count` threads, each with one request after another of random size until the end of the `with` block."""

    def __init__(self, client, vocabulary, count, seed):
        self._stop, self._client, self._vocabulary = threading.Event(), client, vocabulary
        self._failures = []
        self.calls = 0
        self._threads = [threading.Thread(target=self._run, args=(random.Random(f"{seed} {i}"),))
                         for i in range(count)]

    def _run(self, rng):
        try:
            while not self._stop.is_set():
                prompt = [rng.randrange(self._vocabulary) for _ in range(rng.choice((1, 5, 40, 150)))]
                stop = {"max_tokens": rng.randint(1, 25), "ignore_eos": True}
                stream = self._client.inference.Generate(
                    request(prompt, {"temperature": rng.choice((0, 1)), "seed": rng.getrandbits(64)}, stop), timeout=60)
                read = rng.choice((2, 1000))  # some leave early
                for i, _ in enumerate(stream):
                    if i == read:
                        stream.cancel()
                        break
                self.calls += 1
        except Exception as error:  # reported by the test's thread
            self._failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._failures, self._failures


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8", "int4"])
@pytest.mark.parametrize("model", [DEMO, GOLDEN / "variants/gemma-macchiato"], ids=["demo", "gemma-macchiato"])
def test_company_changes_no_bit(servers, full, model, dtype):
    server = servers(model, "--backend=cpu", f"--weights_dtype={dtype}")
    vocabulary = server.client.model().architecture.vocab_size
    rng = random.Random(dtype)
    for round_number in range(20 if full else 1):
        cases = []
        for length in LENGTHS if full else rng.sample(LENGTHS, 3):
            prompt = [rng.randrange(vocabulary) for _ in range(length)]
            stop = {"max_tokens": 24, "ignore_eos": True}
            cases.append(((prompt, {"temperature": 0}, stop), {"logprobs": 2}))
            cases.append(((prompt, {"temperature": 1, "top_k": 0, "seed": rng.getrandbits(64),
                                    "repetition_penalty": 1.1}, stop), {"logprobs": 0, "n": 2}))
        alone = [observed(server.client.generate(*args, **fields)) for args, fields in cases]
        for others in (1, 7, 31):
            with (Client(server.address) as client,
                  Company(client, vocabulary, others, seed=f"{dtype} {round_number}") as company):
                for (args, fields), want in zip(cases, alone):
                    assert observed(server.client.generate(*args, **fields)) == want, (others, len(args[0]), fields)
            assert company.calls > 0
    server.settled()


def test_scores_do_not_depend_on_company(servers):
    server = servers(DEMO, "--backend=cpu", "--weights_dtype=bf16")
    ids = [i * 37 % 3000 for i in range(700)]
    alone = [t.SerializeToString() for t in server.client.score(ids).tokens]
    with Client(server.address) as client, Company(client, 3000, 7, seed="score"):
        assert [t.SerializeToString() for t in server.client.score(ids).tokens] == alone
    server.settled()
