"""The `barista` client against a real server: JSON as documented, results on stdout, exit codes that mean something."""
import json
import signal
import subprocess

import pytest

from conftest import GOLDEN
from golden import Golden
from server import CLI, run, until

PROMPT = "def read(path):\n"
OK, USAGE, REFUSED, UNAVAILABLE, FULL, DEADLINE, INTERRUPTED = 0, 2, 3, 4, 5, 6, 130
TIMINGS = {"queue_seconds", "prefill_seconds", "decode_seconds", "time_to_first_token_seconds", "total_seconds"}


def barista(server, *words, code=OK, **options):
    """(stdout, stderr) of a run that ends with `code`."""
    got, out, err = run(CLI, *words, f"--server={getattr(server, 'address', server)}", seconds=60, **options)
    assert got == code, (got, out, err)
    return out, err


def as_json(server, *words):
    out, err = barista(server, *words, "--json")
    assert out.count("\n") == 1 and err == "", err
    return json.loads(out)


def refusal(server, *words, code):
    out, err = barista(server, *words, "--json", code=code)
    assert out == "" and err.count("\n") == 1
    return json.loads(err)["error"]


def test_generate(demo):
    words = ["generate", f"--prompt={PROMPT}", "--max_tokens=20", "--temperature=0", "--ignore_eos"]
    want = demo.client.greedy(PROMPT, 20)
    got = as_json(demo, *words)
    assert (got["text"], got["tokens"], got["finish_reason"]) == (want.text, want.ids, "length")
    assert got["usage"] == {"prompt_tokens": want.summary.usage.prompt_tokens, "generated_tokens": 20,
                            "cached_tokens": 0}
    assert set(got["timings"]) == TIMINGS and all(v >= 0 for v in got["timings"].values())
    out, _ = barista(demo, *words)
    assert out.rstrip("\n") == want.text.rstrip("\n")


def test_generate_with_every_sampling_flag(demo):
    words = ["--temperature=0.9", "--top_k=50", "--top_p=0.95", "--min_p=0.01", "--typical_p=0.99",
             "--repetition_penalty=1.1", "--presence_penalty=0.1", "--frequency_penalty=0.1", "--logit_bias=17:-2.5",
             "--seed=11", "--min_tokens=4", "--max_tokens=30", "--n=2", "--logprobs=3", "--stop=\n\n\n",
             "--stop_token_ids=1"]
    got = as_json(demo, "generate", PROMPT, *words, "--echo", "--request_id=me")
    sampling = {"temperature": 0.9, "top_k": 50, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.99,
                "repetition_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1,
                "logit_bias": {17: -2.5}, "seed": 11}
    stop = {"min_tokens": 4, "max_tokens": 30, "stop_strings": ["\n\n\n"], "stop_token_ids": [1]}
    want = demo.client.generate(PROMPT, sampling, stop, n=2, logprobs=3)
    assert [c["tokens"] for c in got["choices"]] == [want.choices[i].ids for i in range(2)]
    assert got["seed"] == 11 and got["prompt"]["text"] == PROMPT
    assert len(got["logprobs"]) == len(got["alternatives"]) == len(got["tokens"])


def test_score(demo):
    got = as_json(demo, "score", "--tokens=5,6,7")
    want = demo.client.score([5, 6, 7])
    assert list(got)[:2] == ["tokens", "logprobs"]
    assert got["tokens"] == [5, 6, 7] and got["logprobs"][0] is None
    assert got["logprobs"][1:] == pytest.approx([t.logprob for t in want.tokens[1:]], rel=1e-6)


def test_classify(servers):
    server = servers(GOLDEN / "official/cls-bidirectional", "--backend=cpu")
    tokens, logits = next(Golden("official/cls-bidirectional").rows())
    got = as_json(server, "classify", "--tokens=" + ",".join(map(str, tokens)))
    assert next(iter(got)) == "logits" and got["logits"] == pytest.approx(logits.tolist(), abs=1e-4)


def test_tokenize_and_detokenize(demo):
    got = as_json(demo, "tokenize", PROMPT)
    assert got["tokens"] == list(demo.client.tokenize(PROMPT).token_ids) and "".join(got["pieces"]) == PROMPT
    out, _ = barista(demo, "tokenize", PROMPT)
    assert as_json(demo, "detokenize", out.strip())["text"] == PROMPT
    out, _ = barista(demo, "score", "--json", "-", input=PROMPT.encode())
    assert json.loads(out)["tokens"] == got["tokens"]


def test_describe(demo):
    model = demo.client.model()
    got = as_json(demo, "describe")["model"]
    assert (got["name"], got["fingerprint"]) == (model.name, model.fingerprint)
    assert got["memory"]["bytes_per_session"] == model.memory.bytes_per_session
    out, _ = barista(demo, "describe")
    assert model.name in out


def test_refusals(demo, plain):
    error = refusal(demo, "generate", PROMPT, "--top_p=2", code=REFUSED)
    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert error["field_violations"][0]["field"] == "sampling.top_p"
    assert refusal(plain, "generate", PROMPT, code=REFUSED)["reason"] == "NO_TOKENIZER"
    assert refusal(demo, "classify", PROMPT, code=REFUSED)["reason"] == "WRONG_TASK"
    assert refusal(demo, "generate", PROMPT, "--temprature=1", code=USAGE)["code"] == "USAGE"
    assert refusal(demo, "score", "--tokens=1,x", code=USAGE)["code"] == "USAGE"
    assert refusal(demo, "generate", PROMPT, "--n=8", "--max_tokens=1048576", "--ignore_eos", "--deadline_s=0.2",
                   code=DEADLINE)["code"] == "DEADLINE_EXCEEDED"
    assert refusal("127.0.0.1:1", "describe", code=UNAVAILABLE)["code"] == "UNAVAILABLE"


def test_output_that_cannot_be_written(demo):
    for command in ("generate x --max_tokens=50", "describe", "score x", "tokenize x --json"):
        got, _, err = run("sh", "-c", f"'{CLI}' {command} --server={demo.address} > /dev/full")
        assert got == 1 and "cannot write to standard output" in err, (command, got, err)
    assert demo.settled()["barista_num_requests_running"] == 0


def test_a_full_server(servers):
    server = servers(GOLDEN / "variants/macchiato-rglru", "--backend=cpu", "--n_max=64")
    assert refusal(server, "generate", "--tokens=1", "--n=33", code=FULL)["reason"] == "SESSIONS_MAX"


def test_interrupt_cancels_the_call(demo):
    before = demo.settled()
    process = subprocess.Popen([CLI, "generate", PROMPT, "--max_tokens=1000000", "--ignore_eos", "--temperature=0",
                                f"--server={demo.address}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    key = 'barista_requests_total{status="cancelled"}'
    until(lambda: demo.settled()[key] == before[key] + 1, what="the cancelled call in the metrics")


def test_repl(demo):
    """Lines are prompts; parameters that are set hold for those that follow."""
    lines = ["/set temperature 0", "/set max_tokens 6", "/set ignore_eos true", "def f(", "/more", "/nonsense", "/quit"]
    out, err = barista(demo, "repl", "--quiet", input="\n".join(lines).encode())
    first = demo.client.greedy("def f(", 6).text
    assert out.startswith(first)
    assert demo.client.greedy("def f(" + first, 6).text.strip() in out[len(first):]
    assert "/nonsense" in err
