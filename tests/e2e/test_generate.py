"""What Generate promises, on the demo model: choices, ends, text, log-probabilities, echo, progress, summary."""
import pytest

from client import collect, request

PROMPT = "import os\n\n\ndef read(path):\n"
EOS = 0
LONG = {"max_tokens": 60, "ignore_eos": True}
SEEDED = {"temperature": 1.0, "top_k": 0, "seed": 7}


@pytest.fixture(scope="module")
def client(demo):
    return demo.client


@pytest.fixture(scope="module")
def sixty(client):
    return client.generate(PROMPT, SEEDED, LONG)


def test_streams_then_ends_with_a_summary(client, sixty):
    assert sixty.kinds[-1] == "summary" and sixty.kinds.count("summary") == 1
    assert len(sixty.ids) == 60 and sixty.finish == "LENGTH" and sixty.stop is None
    # Not all at once. Sixty tokens are 7 ms of this model, in which a busy machine may not let who writes them run.
    assert len(client.generate(PROMPT, SEEDED, {"max_tokens": 1500, "ignore_eos": True}).pieces) > 10
    ids = list(client.tokenize(PROMPT).token_ids)
    usage = sixty.summary.usage
    assert (usage.prompt_tokens, usage.generated_tokens, usage.cached_tokens) == (len(ids), 60, 0)
    assert sixty.summary.model_fingerprint == client.model().fingerprint
    assert client.generate(ids, SEEDED, LONG).ids == sixty.ids  # a prompt as ids is the same prompt


def test_timings_add_up(sixty):
    t = sixty.summary.timings
    parts = (t.queue_seconds, t.prefill_seconds, t.decode_seconds)
    assert min(parts) >= 0 and t.decode_seconds > 0 and t.prefill_seconds > 0
    assert sum(parts) == pytest.approx(t.total_seconds, rel=1e-6)
    assert t.queue_seconds + t.prefill_seconds <= t.time_to_first_token_seconds < t.total_seconds


@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_whole_characters_and_join_to_the_text_of_the_ids(client, seed):
    """At a high temperature the bytes of characters come in any order, ill-formed ones too."""
    got = client.generate("# Größe ✓ ", {"temperature": 5, "top_k": 0, "seed": seed}, {**LONG, "max_tokens": 200})
    assert got.text == client.detokenize(got.ids)
    for piece in got.pieces:
        piece.encode()  # no lone surrogate


def test_tokenize_and_detokenize_are_inverse(client):
    for text in ("", PROMPT, "Größe ✓ 🙂 e\u0301\n\t", "<|endoftext|>x", "a" * 5000):
        answer = client.tokenize(text)
        assert len(answer.pieces) == len(answer.token_ids)
        assert client.detokenize(answer.token_ids) == text.replace("<|endoftext|>", "")
    pieces = client.tokenize(PROMPT).pieces
    assert "".join(pieces) == PROMPT


def test_a_stop_string_ends_the_text_before_it_across_tokens(client, sixty):
    """The string begins within one token and ends in another one."""
    borders = [len(client.detokenize(sixty.ids[:i])) for i in range(20, 40)]
    border = next(b for b in borders if 2 <= b <= len(sixty.text) - 2)
    stop = sixty.text[border - 2:border + 2]
    at = sixty.text.index(stop)
    got = client.generate(PROMPT, SEEDED, {**LONG, "stop_strings": ["\0", stop]})
    assert (got.text, got.finish, got.stop) == (sixty.text[:at], "STOP_STRING", stop)
    assert got.ids == sixty.ids[:len(got.ids)] and len(got.ids) < 60
    assert client.detokenize(got.ids).startswith(got.text + stop)


def test_a_stop_string_that_is_only_begun_is_given_out_at_the_end(client, sixty):
    got = client.generate(PROMPT, SEEDED, {**LONG, "stop_strings": [sixty.text[-3:] + "\0"]})
    assert (got.text, got.finish) == (sixty.text, "LENGTH")


def test_a_stop_id_ends_the_choice_and_has_no_text(client, sixty):
    stop = sixty.ids[20]
    first = sixty.ids.index(stop)
    got = client.generate(PROMPT, SEEDED, {**LONG, "stop_token_ids": [stop]})
    assert (got.ids, got.finish, got.stop) == (sixty.ids[:first + 1], "STOP_TOKEN", stop)
    assert got.text == client.detokenize(sixty.ids[:first])


def test_the_end_of_sequence_token(client):
    likely = {**SEEDED, "logit_bias": {EOS: 100}}
    got = client.generate(PROMPT, likely, {"max_tokens": 9})
    assert (got.ids, got.finish, got.stop, got.text) == ([EOS], "EOS", EOS, "")
    got = client.generate(PROMPT, likely, {"max_tokens": 9, "ignore_eos": True})
    assert EOS not in got.ids and (len(got.ids), got.finish) == (9, "LENGTH")
    got = client.generate(PROMPT, likely, {"max_tokens": 9, "min_tokens": 5})
    assert EOS not in got.ids[:5] and got.ids[5:] == [EOS] and got.finish == "EOS"


def test_min_tokens_hold_back_stop_ids_and_stop_strings(client, sixty):
    stop = {**LONG, "min_tokens": 30, "stop_token_ids": sixty.ids[:1], "stop_strings": ["e", " ", "\n"]}
    got = client.generate(PROMPT, SEEDED, stop)
    assert 30 <= len(got.ids) < 60 and sixty.ids[0] not in got.ids[:30]
    assert got.finish in ("STOP_STRING", "STOP_TOKEN")


def test_equal_seeds_give_equal_tokens_and_a_drawn_seed_is_told(client, sixty):
    assert client.generate(PROMPT, SEEDED, LONG).ids == sixty.ids
    assert client.generate(PROMPT, {**SEEDED, "seed": 8}, LONG).ids != sixty.ids
    drawn = client.generate(PROMPT, {"temperature": 1.0, "top_k": 0}, LONG)
    again = client.generate(PROMPT, {"temperature": 1.0, "top_k": 0, "seed": drawn.summary.seed}, LONG)
    assert again.ids == drawn.ids and again.text == drawn.text


def test_choices_are_their_own_continuations_of_one_prompt(client, sixty):
    got = client.generate(PROMPT, SEEDED, LONG, n=4)
    assert sorted(got.choices) == [0, 1, 2, 3]
    assert got.choices[0].ids == sixty.ids and got.choices[0].text == sixty.text
    assert len({tuple(c.ids) for c in got.choices.values()}) == 4
    assert got.summary.usage.generated_tokens == 240
    assert got.summary.usage.prompt_tokens == sixty.summary.usage.prompt_tokens
    same = client.generate(PROMPT, {"temperature": 0}, LONG, n=3)
    assert same.choices[1].ids == same.choices[0].ids == same.choices[2].ids


def test_a_limit_of_one_token(client, sixty):
    got = client.generate(PROMPT, SEEDED, {**LONG, "max_tokens": 1})
    assert (got.ids, got.finish) == (sixty.ids[:1], "LENGTH")


def test_echo_and_request_id(client):
    got = client.generate(PROMPT, SEEDED, LONG, echo=True, request_id="a call ~1")
    assert got.kinds[0] == "prompt" and (got.echo_text, got.echo_messages) == (PROMPT, 1)
    assert got.echo_ids == list(client.tokenize(PROMPT).token_ids) and not got.echo_logprobs
    assert got.summary.request_id == "a call ~1"
    ids = [i % 3000 + 2 for i in range(10_000)]
    got = client.generate(ids, SEEDED, {"max_tokens": 2}, echo=True)
    assert got.echo_ids == ids and got.echo_messages > 1 and got.echo_text == client.detokenize(ids)


def test_progress_of_a_long_prompt(client):
    long = client.generate([5] * 3000, SEEDED, {"max_tokens": 2})
    done = [d for d, _ in long.progress]
    assert len(done) > 1 and done == sorted(set(done)) and done[-1] == 3000
    assert all(total == 3000 for _, total in long.progress)
    assert long.kinds.index("chunk") > long.kinds.index("progress")
    assert client.generate([5] * 100, SEEDED, {"max_tokens": 2}).progress == []


def test_logprobs_name_the_token_and_its_rivals(client, sixty):
    got = client.generate(PROMPT, SEEDED, LONG, logprobs=5)
    assert got.ids == sixty.ids
    for token, entry in zip(got.ids, got.logprobs, strict=True):
        values = [a.logprob for a in entry.alternatives]
        assert entry.token_id == token and len(values) == 5 and values == sorted(values, reverse=True)
        assert entry.logprob <= values[0] <= 0
        ranked = {a.token_id: a.logprob for a in entry.alternatives}
        assert ranked.get(token, entry.logprob) == entry.logprob
        assert token in ranked or entry.logprob <= values[-1]
    bare = client.generate(PROMPT, SEEDED, LONG, logprobs=0)
    assert [e.logprob for e in bare.logprobs] == [e.logprob for e in got.logprobs]
    assert not any(e.alternatives for e in bare.logprobs)
    # They are of the raw logits: what changes the draw does not change them.
    cold = client.generate(PROMPT, {"temperature": 0, "logit_bias": {got.ids[0]: 100}}, {"max_tokens": 1}, logprobs=5)
    assert cold.logprobs[0] == got.logprobs[0]


def test_prompt_logprobs_are_those_of_score(plain):
    client = plain.client
    ids = [i * 7 % client.model().architecture.vocab_size for i in range(300)]
    got = client.generate(ids, {"temperature": 0}, {"max_tokens": 40}, prompt_logprobs=2, logprobs=2)
    assert got.echo_ids == ids and got.echo_text == ""
    score = client.score(ids, alternatives=2)
    assert got.echo_logprobs == list(score.tokens)
    # What was drawn scores the same when it is read as a prompt, within float32.
    again = client.score(ids + got.ids).tokens[len(ids):]
    assert [t.logprob for t in again] == pytest.approx([t.logprob for t in got.logprobs], abs=1e-3)


@pytest.mark.parametrize("echo", [False, True])
def test_prompt_logprobs_of_one_token(client, echo):
    got = client.generate([5], SEEDED, {"max_tokens": 2}, prompt_logprobs=1, echo=echo)
    assert got.echo_ids == [5] and len(got.echo_logprobs) == 1
    assert not got.echo_logprobs[0].HasField("logprob")
    assert got.echo_text == (client.detokenize([5]) if echo else "")
    assert len(client.score([5]).tokens) == 1


def test_without_a_tokenizer_there_are_ids_and_no_text(plain):
    got = plain.client.generate([1, 2, 3], {"seed": 1}, {"max_tokens": 20}, echo=True)
    assert len(got.ids) == 20 and got.text == "" and got.echo_text == "" and got.echo_ids == [1, 2, 3]


def test_penalties_and_filters_do_what_they_say(client, sixty):
    often = client.generate(PROMPT, {"temperature": 0, "frequency_penalty": 100}, {"max_tokens": 200})
    assert len(set(often.ids)) == len(often.ids)  # no token twice
    one = client.generate(PROMPT, {"temperature": 5, "top_k": 1, "seed": 3}, LONG)
    assert one.ids == client.generate(PROMPT, {"temperature": 0}, LONG).ids
    assert client.generate(PROMPT, {"temperature": 5, "min_p": 1, "seed": 3}, LONG).ids == one.ids
    assert client.generate(PROMPT, {"temperature": 5, "top_p": 1e-6, "seed": 3}, LONG).ids == one.ids


def test_speculation_changes_nothing_but_the_steps(client, sixty):
    plain = client.generate(PROMPT, SEEDED, LONG, logprobs=2)
    for count in (1, 4, 16):
        got = client.generate(PROMPT, SEEDED, LONG, logprobs=2, speculation_tokens=count)
        assert (got.ids, got.text, got.logprobs) == (sixty.ids, sixty.text, plain.logprobs)
    assert sixty.summary.usage.drafted_tokens == 0
    # A text that repeats itself: every draft is right, and the prompt's token is all that is drawn alone.
    again = {"temperature": 0, "logit_bias": {500: 100}}
    got = client.generate([500] * 8, again, LONG, speculation_tokens=4)
    usage = got.summary.usage
    assert got.ids == [500] * 60 == client.generate([500] * 8, again, LONG).ids
    assert usage.generated_tokens == 60 and usage.drafted_tokens == usage.accepted_tokens > 40


def test_fields_left_out_take_the_defaults_of_the_model(client):
    model = client.model()
    defaults = {f.name: v for f, v in model.sampling_defaults.ListFields()}
    told = client.generate(PROMPT, {**defaults, "seed": 5}, {"max_tokens": model.stop_defaults.max_tokens})
    left = collect(client.inference.Generate(request(PROMPT, {"seed": 5}), timeout=60))
    assert left.ids == told.ids
