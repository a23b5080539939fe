"""What a session keeps: calls cut anywhere, copied any time, continue as one call alone would, bit for bit."""
import json

import pytest

from client import Client, Generation, failed, request
from conftest import DEMO, GOLDEN
from server import Server
from test_bits import Company

MODELS = {"demo": (DEMO, "--backend=cpu"),
          "conv-rope": (GOLDEN / "variants/macchiato-conv-rope", "--backend=cpu"),
          "conv-rope-ref": (GOLDEN / "variants/macchiato-conv-rope", "--backend=ref"),
          "full-rope": (GOLDEN / "extra/full-rope", "--backend=cpu"),
          "full-rope-ref": (GOLDEN / "extra/full-rope", "--backend=ref")}
SAMPLINGS = {"greedy": {"temperature": 0},
             "seeded": {"temperature": 1, "top_k": 0, "seed": 11},
             "penalties": {"temperature": 0.8, "top_k": 0, "seed": 5, "repetition_penalty": 1.3,
                           "presence_penalty": 0.5, "frequency_penalty": 0.2}}
SEEDED = SAMPLINGS["seeded"]


@pytest.fixture(scope="module", params=MODELS)
def served(request, servers):
    server = servers(*MODELS[request.param])
    yield server
    server.settled()


@pytest.fixture
def client(served):
    yield served.client
    served.client.delete_sessions()


@pytest.fixture
def draw_prompt(rng, client):
    vocabulary = client.model().architecture.vocab_size
    return lambda length: [rng.randrange(vocabulary) for _ in range(length)]


def length(tokens):
    return {"max_tokens": tokens, "ignore_eos": True}


def observed(*parts):
    """(ids, log-probabilities to the bit) of calls that follow each other."""
    return [i for p in parts for i in p.ids], [e.SerializeToString() for p in parts for e in p.logprobs]


def go_on(client, name, tokens, sampling, prompt=None):
    got = client.generate(prompt, sampling, length(tokens), session=name, logprobs=2)
    assert len(got.ids) == tokens and got.summary.session_position == client.get_session(name).position
    return got


def read(stream, generation, tokens):
    """Reads on until it has this many, or to the end."""
    while len(generation.choices[0].ids if generation.choices else ()) < tokens:
        message = next(stream, None)
        if message is None:
            return
        generation.add(message)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_an_empty_session_answers_as_no_session_does(client, draw_prompt, sampling, full):
    for tokens in (1, 2, 63, 64, 65, 200, 900) if full else (1, 65, 300):
        prompt = draw_prompt(tokens)
        alone = client.generate(prompt, sampling, length(30), logprobs=2)
        with client.session() as name:
            got = go_on(client, name, 30, sampling, prompt)
            assert observed(got) == observed(alone)
            assert got.finish == alone.finish
            # A session keeps the begin of a character for the next call.
            assert got.text.rstrip("\ufffd") == alone.text.rstrip("\ufffd")
            for usage in (got.summary.usage, alone.summary.usage):
                assert (usage.prompt_tokens, usage.generated_tokens) == (tokens, 30)
            assert got.summary.session_position == tokens + 30
        assert not alone.summary.HasField("session_position")


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_cuts_change_no_bit(client, draw_prompt, rng, sampling, full):
    prompt = draw_prompt(70)
    whole = client.generate(prompt, sampling, length(100), logprobs=2)
    rounds = [[100], [50, 50], [1, 99], [99, 1], [1] * 100]
    for _ in range(50 if full else 2):
        edges = sorted(rng.sample(range(1, 100), rng.randint(1, 12)))
        rounds.append([b - a for a, b in zip([0, *edges], [*edges, 100])])
    for cuts in rounds:
        with client.session() as name:
            parts = []
            for tokens in cuts:
                parts.append(go_on(client, name, tokens, sampling, None if parts else prompt))
                assert parts[-1].summary.session_position == 70 + sum(len(p.ids) for p in parts)
                assert parts[-1].summary.usage.prompt_tokens == (0 if len(parts) > 1 else 70)
            assert observed(*parts) == observed(whole), cuts
        ends = [client.detokenize(whole.ids[:sum(cuts[:i + 1])]) for i in range(len(cuts))] if whole.text else []
        if not any(text.endswith("\ufffd") for text in ends):  # else a cut fell into a character
            assert "".join(p.text for p in parts) == whole.text, cuts


def hot(seed):
    """Bytes of characters in any order, and often the first one of two."""
    vocabulary = json.loads((DEMO / "tokenizer.json").read_text())["model"]["vocab"]
    return {"temperature": 5, "top_k": 0, "seed": seed, "logit_bias": {vocabulary["Ã"]: 40}}  # the byte C3


@pytest.mark.parametrize("seed", range(3))
def test_cuts_lose_no_byte_of_the_text(demo_client, rng, seed):
    """What one call holds back the next one says."""
    client, prompt = demo_client, "# Größe ✓ "
    with client.session() as name:
        whole = go_on(client, name, 200, hot(seed), prompt)
    with client.session() as name:
        parts = [go_on(client, name, 1, hot(seed), prompt)]
        while (left := 200 - len(observed(*parts)[0])) > 0:
            parts.append(go_on(client, name, min(left, rng.randint(1, 5)), hot(seed)))
    assert observed(*parts) == observed(whole)
    assert "".join(p.text for p in parts) == whole.text
    assert client.detokenize(whole.ids).startswith(whole.text)


def test_cuts_change_no_bit_in_company(served, draw_prompt):
    client, prompt = served.client, draw_prompt(200)
    whole = client.generate(prompt, SEEDED, length(60), logprobs=2)
    vocabulary = client.model().architecture.vocab_size
    with client.session() as name, Client(served.address) as others, Company(others, vocabulary, 7, seed="cuts"):
        parts = [go_on(client, name, 12, SEEDED, prompt)]
        parts += [go_on(client, name, 12, SEEDED) for _ in range(4)]
        assert observed(*parts) == observed(whole)


def test_whatever_ends_a_call_the_next_one_goes_on_after_its_last_token(client, draw_prompt):
    prompt = draw_prompt(20)
    whole = client.generate(prompt, SEEDED, length(60), logprobs=2)
    ends = [{"stop_token_ids": [whole.ids[20]]}]
    if whole.text:
        middle = len(client.detokenize(whole.ids[:25]))
        ends.append({"stop_strings": [whole.text[middle - 2:middle + 2]]})
    for stop in ends:
        with client.session() as name:
            first = client.generate(prompt, SEEDED, {**length(60), **stop}, session=name, logprobs=2)
            assert first.finish.startswith("STOP_") and first.summary.session_position == 20 + len(first.ids)
            second = go_on(client, name, 60 - len(first.ids), SEEDED)
            assert observed(first, second) == observed(whole)


def test_penalties_count_what_earlier_calls_drew(demo):
    with demo.client.session() as name:
        first = go_on(demo.client, name, 50, SEEDED, "def read(path):\n")
        penalised = {"temperature": 0, "frequency_penalty": 100, "presence_penalty": 100}
        later = [*go_on(demo.client, name, 50, penalised).ids, *go_on(demo.client, name, 50, penalised).ids]
    assert len(set(later)) == len(later) and not set(later) & set(first.ids)


@pytest.mark.parametrize("directory", ["variants/macchiato-conv-rope", "extra/full-rope", "official/lm-transformer"])
def test_a_prompt_comes_after_the_whole_past(servers, directory, rng):
    """Log-probabilities after several prompts are those of the joined text, read at once."""
    client = servers(GOLDEN / directory, "--backend=cpu").client
    vocabulary = client.model().architecture.vocab_size
    past, drawn = [], {}
    with client.session() as name:
        for turn in range(4):
            prompt = [rng.randrange(vocabulary) for _ in range((1, 90, 1, 300)[turn])]
            got = go_on(client, name, (1, 20, 30, 5)[turn], SEEDED, prompt)
            assert got.summary.usage.prompt_tokens == len(prompt)
            past += prompt
            drawn.update(enumerate((e.logprob for e in got.logprobs), len(past)))
            past += got.ids
            assert got.summary.session_position == len(past)
        scored = client.score(past).tokens
    assert list(drawn.values()) == pytest.approx([scored[i].logprob for i in drawn], abs=2e-3)


def test_special_tokens_come_before_the_first_prompt_only(tmp_path):
    for file in DEMO.iterdir():
        (tmp_path / file.name).symlink_to(file)
    tokenizer = json.loads((DEMO / "tokenizer.json").read_text())
    special = tokenizer["added_tokens"][0]
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": special["content"], "type_id": 0}}, sequence],
        "pair": [sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {special["content"]: {"id": special["content"], "ids": [special["id"]],
                                                "tokens": [special["content"]]}}}
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with Server(tmp_path, "--backend=cpu", "--sessions_max=4") as server, Client(server.address) as client:
        alone = client.generate("import os\n", SEEDED, length(30), echo=True, logprobs=2)
        first, *plain = alone.echo_ids
        assert first == special["id"] and plain
        with client.session() as name:
            got = go_on(client, name, 30, SEEDED, "import os\n")
            assert observed(got) == observed(alone) and got.text == alone.text
            assert got.summary.usage.prompt_tokens == len(plain) + 1
            again = go_on(client, name, 30, SEEDED, "import os\n")
            assert again.summary.usage.prompt_tokens == len(plain)
        with client.session() as name:
            go_on(client, name, 30, SEEDED, "import os\n")
            assert observed(go_on(client, name, 30, SEEDED, plain)) == observed(again)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_a_fork_goes_on_as_its_parent_does(client, draw_prompt, rng, sampling, full):
    with client.session() as parent:
        go_on(client, parent, 5, sampling, draw_prompt(80))
        for turn in range(20 if full else 3):
            made = client.fork_session(parent, f"left-{turn}", f"right-{turn}", repeat_parent=True)
            assert [s.name for s in made] == [f"sessions/left-{turn}", f"sessions/right-{turn}"]
            position = client.get_session(parent).position
            assert [s.position for s in made] == [position] * 2
            left, right = (s.name for s in made)
            tokens, prompt = rng.randint(1, 30), draw_prompt(rng.choice((1, 70)))
            go_on(client, right, 9, SAMPLINGS["seeded"], prompt)  # the others feel nothing of it
            assert client.get_session(left).position == position == client.get_session(parent).position
            ours = go_on(client, parent, tokens, sampling)
            client.delete_session(right)
            assert observed(go_on(client, left, tokens, sampling)) == observed(ours)
            both = [go_on(client, n, 7, sampling, prompt) for n in (parent, left)]
            assert observed(both[0]) == observed(both[1])
            client.delete_session(left)


def test_a_fork_has_its_own_stream_of_random_numbers(client, draw_prompt):
    """Which depends on the seed, the source and how many copies it had, not on what else the server did."""
    prompt, seen = draw_prompt(40), []
    for _ in range(2):
        with client.session() as parent:
            go_on(client, parent, 5, SEEDED, prompt)
            made = [s.name for s in client.fork_session(parent, "a", "b")]
            made += [s.name for s in client.fork_session(parent, "c")]
            made += [s.name for s in client.fork_session(made[0], "grandchild")]
            made += [s.name for s in client.fork_session(parent, "again", repeat_parent=True)]
            drawn = [observed(go_on(client, name, 40, SEEDED)) for name in (parent, *made)]
            assert drawn[0] == drawn.pop()  # the one that repeats its parent
            assert all(one != other for i, one in enumerate(drawn) for other in drawn[:i])
            seen.append(drawn)
            for name in made:
                client.delete_session(name)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("repeat", [False, True])
def test_greedy_forks_draw_what_their_parent_draws(client, draw_prompt, repeat):
    with client.session() as parent:
        go_on(client, parent, 5, SAMPLINGS["greedy"], draw_prompt(40))
        made = [s.name for s in client.fork_session(parent, "a", "b", repeat_parent=repeat)]
        drawn = [observed(go_on(client, name, 40, SAMPLINGS["greedy"])) for name in (parent, *made)]
        assert drawn[0] == drawn[1] == drawn[2]


def test_a_fork_of_an_empty_session_is_empty(client, draw_prompt):
    prompt = draw_prompt(10)
    with client.session() as parent:
        (child,) = client.fork_session(parent, "child", repeat_parent=True)
        assert child.position == 0
        assert failed(lambda: client.generate(None, session=child.name)).code == "INVALID_ARGUMENT"
        got = go_on(client, child.name, 20, SEEDED, prompt)
        assert observed(got) == observed(client.generate(prompt, SEEDED, length(20), logprobs=2))
        assert client.get_session(parent).position == 0
        client.delete_session(child.name)


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_forks_of_a_parent_that_generates_draw_what_it_draws(served, draw_prompt, rng, sampling):
    client, prompt, forks = served.client, draw_prompt(40), 4
    bounded = served.model_name == "models/full-rope"
    most = 4000 if bounded else 1 << 20
    parent = client.create_session().name
    stream = client.inference.Generate(request(prompt, sampling, length(most), session=parent, logprobs=2))
    got, children = Generation(), []
    for i in range(forks):
        read(stream, got, len(got.choices[0].ids if got.choices else ()) + rng.randint(1, 20))
        children += client.fork_session(parent, f"child-{i}", repeat_parent=True)
        assert bounded or client.get_session(parent).busy
        assert not children[-1].busy and children[-1].position >= 40 + len(got.ids)
    read(stream, got, max(c.position for c in children) - 40 + 30)
    for child in children:
        at = child.position - 40
        ids, logprobs = (x[at:at + 30] for x in observed(got))
        if ids:
            assert observed(go_on(client, child.name, len(ids), sampling)) == (ids, logprobs), child.position
    stream.cancel()


@pytest.mark.parametrize("seed", range(3))
def test_a_fork_of_a_parent_that_generates_says_the_text_from_there_on(demo_client, seed):
    """In the middle of a character too."""
    client, prompt = demo_client, "# Größe ✓ "
    parent, forks = client.create_session().name, 12
    stream = client.inference.Generate(request(prompt, hot(seed), length(1 << 20), session=parent, logprobs=2))
    got, children = Generation(), []
    for i in range(forks):
        read(stream, got, 5 * i + 1)
        children += client.fork_session(parent, f"child-{i}", repeat_parent=True)
    start = len(client.tokenize(prompt).token_ids)
    read(stream, got, max(c.position for c in children) - start + 20)
    stream.cancel()
    for child in children:
        drawn = child.position - start
        with client.session() as name:
            go_on(client, name, drawn, hot(seed), prompt)
            wanted = go_on(client, name, 20, hot(seed))
        text = go_on(client, child.name, 20, hot(seed))
        assert observed(text) == observed(wanted) and wanted.ids == got.ids[drawn:drawn + 20]
        assert text.text == wanted.text, drawn


def test_a_fork_of_a_parent_that_reads_its_prompt_has_what_was_read(servers, rng):
    """Position tells how much that is; the rest of the prompt brings it where the parent comes to."""
    client = servers(GOLDEN / "variants/macchiato-conv-rope", "--backend=cpu").client
    vocabulary = client.model().architecture.vocab_size
    prompt = [rng.randrange(vocabulary) for _ in range(20_000)]
    with client.session() as parent:
        message = request(prompt, {"temperature": 0}, length(20), session=parent, logprobs=2)
        stream, got = client.inference.Generate(message), Generation()
        got.add(next(stream))
        assert got.progress
        (child,) = client.fork_session(parent, "child")
        for event in stream:
            got.add(event)
        assert 0 < child.position <= len(prompt) + 20
        rest = prompt[child.position:]
        tokens = 20 if rest else len(prompt) + 20 - child.position
        later = go_on(client, child.name, tokens, {"temperature": 0}, rest or None)
        assert later.ids == got.ids[-tokens:]
        wanted = [e.logprob for e in got.logprobs[-tokens:]]
        assert [e.logprob for e in later.logprobs] == pytest.approx(wanted, abs=2e-3)
        client.delete_session(child.name)
