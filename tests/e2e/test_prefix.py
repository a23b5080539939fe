"""Prompts that begin like earlier ones: the same bits as cold, less work, and no tenant sees another's."""
import random

import pytest

from client import Client, failed
from conftest import DEMO, GOLDEN
from server import Server
from stubs import inference
from test_bits import observed as seen
from test_sessions import SAMPLINGS, go_on, length, observed

MODEL = GOLDEN / "variants/macchiato-conv-rope"
LEAST = 256  # --prefix_tokens_min
OFF = inference.CACHE_OFF


def cached(generation):
    return generation.summary.usage.cached_tokens


def expected(earlier, prompt):
    """(tokens that come from a state kept of the earlier prompts, at least; at most)."""
    most = 0
    for other in earlier:
        same = next((i for i, (a, b) in enumerate(zip(other, prompt)) if a != b), min(len(other), len(prompt)))
        most = max(most, same // 64 * 64)
    return most if most >= LEAST else 0


def prompts_that_branch(rng, vocabulary, count):
    """Random ones, many of which begin like another one."""
    made = []
    for _ in range(count):
        begin = []
        if made and rng.random() < 0.8:
            other = rng.choice(made)
            begin = other[:rng.choice((len(other), rng.randrange(len(other)), 64 * rng.randint(1, 10)))]
        made.append(begin + [rng.randrange(vocabulary) for _ in range(rng.choice((0, 1, 63, 64, 200, 500)))] or [1])
    return made


@pytest.mark.parametrize("model, backend", [(MODEL, "cpu"), (MODEL, "ref"), (DEMO, "cpu"),
                                            (GOLDEN / "variants/gemma-macchiato", "cpu"),
                                            (GOLDEN / "extra/full-rope", "cpu")],
                         ids=["conv-rope", "conv-rope-ref", "demo", "gemma-macchiato", "full-rope"])
def test_what_is_known_already_changes_no_bit(full, model, backend):
    """Against calls that neither read nor keep, and against a server that keeps nothing."""
    rng, flags = random.Random(f"{model.name} {backend}"), [f"--backend={backend}", "--sessions_max=4"]
    with (Server(model, *flags) as server, Client(server.address) as client,
          Server(model, *flags, "--checkpoint_bytes=0") as cold, Client(cold.address) as fresh):
        vocabulary, earlier, hits = client.model().architecture.vocab_size, [], 0
        for prompt in prompts_that_branch(rng, vocabulary, 200 if full else 20):
            sampling = {**rng.choice(list(SAMPLINGS.values())), "seed": rng.getrandbits(64)}
            fields = {"n": rng.choice((1, 1, 3)), "logprobs": 2}
            got = client.generate(prompt, sampling, length(6), **fields)
            wanted = client.generate(prompt, sampling, length(6), cache=OFF, **fields)
            assert seen(got) == seen(wanted) == seen(fresh.generate(prompt, sampling, length(6), **fields))
            assert cached(wanted) == 0
            count = cached(got)
            assert count % 64 == 0 and count <= expected(earlier, prompt)
            assert count == 0 or count >= LEAST
            if prompt in earlier:
                assert count == (len(prompt) // 64 * 64 if len(prompt) >= LEAST else 0)
            assert got.summary.usage.prompt_tokens == len(prompt)
            with client.session() as name:  # and a session's first prompt
                session = go_on(client, name, 6, sampling, prompt)
                assert observed(session) == observed(fresh.generate(prompt, sampling, length(6), logprobs=2))
                assert cached(session) == (len(prompt) // 64 * 64 if len(prompt) >= LEAST else 0)
            earlier.append(prompt)
            hits += (count > 0) + (cached(session) > 0)
        assert hits
        assert server.settled()["barista_cached_tokens_total"] > 0
        assert cold.settled()["barista_cached_tokens_total"] == 0
    print(f"result: prefix: {model.name} {backend}: {hits} of {len(earlier)} prompts begin like an earlier one: same bits")


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=4", "--tenant_header=x-tenant") as server:
        yield server


@pytest.fixture
def client(server, request):
    """Its own tenant: it finds nothing that another test left."""
    with Client(server.address, metadata=[("x-tenant", request.node.name.split("[")[0][:64])]) as client:
        yield client
        client.delete_sessions()


@pytest.fixture
def draw(request):
    rng = random.Random(request.node.name)
    return lambda tokens: [rng.randrange(320) for _ in range(tokens)]


def ask(client, prompt, tokens=2, **fields):
    return cached(client.greedy(prompt, tokens, **fields))


@pytest.mark.parametrize("tokens, known", [(255, 0), (256, 256), (257, 256), (319, 256), (320, 320), (1000, 960)])
def test_whole_chunks_are_known_from_256_tokens_on(client, draw, tokens, known):
    prompt = draw(tokens)
    assert [ask(client, prompt) for _ in range(3)] == [0, known, known]


def test_a_prompt_that_goes_on_after_an_earlier_one_is_known_up_to_its_last_border(client, draw):
    prompt = draw(600)
    assert ask(client, prompt) == 0
    assert ask(client, prompt + draw(100)) == 576
    assert ask(client, prompt[:400]) == 0  # no state is kept there
    assert ask(client, prompt[:400]) == 384


def test_where_prompts_branch_a_state_is_kept_by_the_second_and_used_by_the_third(client, draw):
    common = draw(330)
    assert [ask(client, common + draw(300)) for _ in range(4)] == [0, 0, 320, 320]


def test_below_the_least_prefixes_are_not_kept(client, draw):
    common = draw(200)
    assert [ask(client, common + draw(300)) for _ in range(4)] == [0, 0, 0, 0]


def test_the_least_is_a_flag(draw):
    with (Server(MODEL, "--backend=cpu", "--sessions_max=4", "--prefix_tokens_min=64") as server,
          Client(server.address) as client):
        for tokens, known in ((63, 0), (64, 64), (130, 128)):
            prompt = draw(tokens)
            assert [ask(client, prompt), ask(client, prompt)] == [0, known]


def test_off_neither_reads_nor_keeps(client, draw):
    prompt = draw(500)
    assert [ask(client, prompt, cache=OFF) for _ in range(2)] == [0, 0]
    assert ask(client, prompt) == 0  # nothing was kept
    assert ask(client, prompt, cache=OFF) == 0  # nothing is read
    assert ask(client, prompt, cache=inference.CACHE_ON) == ask(client, prompt) == 448
    assert ask(client, prompt, cache=inference.CACHE_UNSPECIFIED) == 448


def test_only_a_sessions_first_prompt_begins_like_others(client, draw):
    prompt = draw(500)
    ask(client, prompt)
    with client.session() as name:
        assert ask(client, prompt, session=name) == 448
        assert ask(client, prompt, session=name) == 0  # it comes after a past
    with client.session() as name:
        assert ask(client, prompt, session=name, cache=OFF) == 0
    other = draw(500)
    with client.session() as name:
        assert ask(client, other, session=name) == 0
    assert ask(client, other) == 448  # a session's prompt is kept for others


def test_a_session_that_began_like_another_goes_back_to_any_place(client, draw):
    prompt = draw(500)
    ask(client, prompt)
    for back in (1, 30, 60, 200, 255):
        with client.session() as name, client.session() as other:
            assert ask(client, prompt, session=name, tokens=1) == 448
            client.rewind(name, tokens=back)
            client.append(other, prompt[:501 - back])
            assert observed(go_on(client, name, 8, SAMPLINGS["penalties"])) == observed(
                go_on(client, other, 8, SAMPLINGS["penalties"]))


def test_penalties_count_the_tokens_that_were_not_computed(client, draw):
    prompt = [i % 320 for i in range(320)]  # every token of the vocabulary
    sampling = {"temperature": 0, "repetition_penalty": 2.0, "presence_penalty": 3, "frequency_penalty": 1}
    cold = client.generate(prompt, sampling, length(20), cache=OFF, logprobs=1)
    assert cached(client.generate(prompt, sampling, length(1))) == 0
    warm = client.generate(prompt, sampling, length(20), logprobs=1)
    assert cached(warm) == 320 and seen(warm) == seen(cold)


def test_a_prompt_whose_log_probabilities_are_wanted_is_computed(client, draw):
    prompt = draw(500)
    cold = client.greedy(prompt, 3, prompt_logprobs=1)
    for _ in range(2):
        got = client.greedy(prompt, 3, prompt_logprobs=1)
        assert got.echo_logprobs == cold.echo_logprobs and cached(got) == 0
    client.greedy(prompt, 3)
    echo = client.greedy(prompt, 3, echo=True)
    assert echo.echo_ids == prompt and cached(echo) == 448


def test_tenants_share_nothing(server, draw):
    """Not even how long an answer took could tell one what another asked: nothing is looked up across."""
    prompt = draw(500)
    with (Client(server.address, metadata=[("x-tenant", "red")]) as red,
          Client(server.address, metadata=[("x-tenant", "blue")]) as blue, Client(server.address) as nobody):
        for client in (red, blue, nobody):
            assert ask(client, prompt) == 0
            assert ask(client, prompt) == 448
        branch = draw(300)
        assert ask(red, branch + draw(100)) == 0
        assert [ask(blue, branch + draw(100)) for _ in range(3)] == [0, 0, 256]  # red's did not count as the first
        assert ask(red, branch + draw(100)) == 0


def test_under_a_small_budget_the_longest_unused_give_way(draw):
    flags = ["--backend=cpu", "--sessions_max=4", "--checkpoint_bytes=100000"]
    with Server(MODEL, *flags) as server, Client(server.address) as client:
        assert client.model().memory.checkpoint_bytes == 100000
        prompts = [draw(300) for _ in range(40)]
        wanted = {}
        for turn in range(3):
            for i, prompt in enumerate(prompts):
                got = client.greedy(prompt, 5, logprobs=1)
                assert wanted.setdefault(i, seen(got)) == seen(got)
                assert cached(got) == 0  # 39 others came meanwhile
                assert ask(client, prompt) == 256
                assert 0 < server.settled()["barista_checkpoint_bytes"] <= 100000
        for prompt in prompts[:-2]:
            ask(client, prompts[-1])  # what is used stays
            ask(client, prompt)
        assert ask(client, prompts[-1]) == 256


def test_with_no_budget_nothing_is_kept(draw):
    with (Server(MODEL, "--backend=cpu", "--sessions_max=4", "--checkpoint_bytes=0") as server,
          Client(server.address) as client):
        prompt = draw(500)
        assert [ask(client, prompt) for _ in range(3)] == [0, 0, 0]
        assert server.settled()["barista_checkpoint_bytes"] == 0


def test_other_calls_neither_read_nor_keep(client, draw):
    prompt = draw(500)
    client.score(prompt)
    with client.session() as name:
        client.append(name, prompt)
    assert ask(client, prompt) == 0
    assert client.score(prompt).usage.cached_tokens == 0
    with client.session() as name:
        assert client.append(name, prompt).usage.cached_tokens == 0
    assert failed(lambda: client.greedy(prompt + [1 << 30], 1)).code == "INVALID_ARGUMENT"
