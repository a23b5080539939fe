"""The table of requests that must be refused, each with its answer.

A row: which server, "Service/Method", the bytes to send, the status code, the ErrorInfo reason ("": an error of gRPC
itself, without details), the field, and words of the message (value and limit).
"""
import math
import struct
from typing import NamedTuple

from client import request
from stubs import inference, session, tokenizer

LIMITS = {"prompt_tokens_max": 2000, "prompt_bytes_max": 4000, "score_tokens_max": 1000, "max_tokens_max": 5000,
          "n_max": 8, "classify_tokens_max": 300}
FLAGS = [f"--{name}={value}" for name, value in LIMITS.items()]
# What each name stands for, below tests/golden.
MODELS = {"text": "official/lm-transformer",         # 260 tokens, tokenizer
          "ids": "variants/macchiato-rglru",         # no tokenizer
          "classifier": "official/cls-bidirectional",
          "attention": "extra/full-rope"}            # positions are bounded
GENERATE, SCORE, CLASSIFY = (f"InferenceService/{m}" for m in ("Generate", "Score", "Classify"))
CREATE, GET, LIST, DELETE, FORK = (f"SessionService/{m}" for m in (
    "CreateSession", "GetSession", "ListSessions", "DeleteSession", "ForkSession"))
TOKENIZE, DETOKENIZE = "TokenizerService/Tokenize", "TokenizerService/Detokenize"
INVALID, PRECONDITION = "INVALID_ARGUMENT", "FAILED_PRECONDITION"


class Row(NamedTuple):
    name: str
    server: str
    method: str
    payload: bytes
    code: str
    reason: str
    field: str
    words: tuple


def wire(number, data):
    """A length-delimited field, so that Python's own check of UTF-8 is passed by."""
    size, length = b"", len(data)
    while True:
        size += bytes([length & 127 | (128 if length > 127 else 0)])
        length >>= 7
        if not length:
            return bytes([number << 3 | 2]) + size + data


def invalid(name, message, field, *words, method=GENERATE, server="text", reason="INVALID_FIELD", code=INVALID):
    payload = message if isinstance(message, bytes) else message.SerializeToString()
    return Row(name, server, method, payload, code, reason, field, tuple(str(w) for w in words))


def real_rows():
    ranges = {"temperature": (-0.1, 100.1), "top_p": (0, 1.01), "min_p": (-0.1, 1.1), "typical_p": (0, 1.5),
              "repetition_penalty": (0, 101), "presence_penalty": (-101, 100.5), "frequency_penalty": (-100.5, 200)}
    for field, (low, high) in ranges.items():
        for name, value in (("low", low), ("high", high), ("nan", math.nan), ("inf", math.inf),
                            ("minus-inf", -math.inf)):
            value32 = struct.unpack("f", struct.pack("f", value))[0]
            word = {"nan": "nan", "inf": "inf", "minus-inf": "-inf"}.get(name, f"{value32:.6g}")
            yield invalid(f"{field}-{name}", request([5], {field: value}), f"sampling.{field}", word, "range")


def sampling_rows():
    yield invalid("top-k", request([5], {"top_k": 261}), "sampling.top_k", 261, 260)
    yield invalid("top-k-max", request([5], {"top_k": 2**32 - 1}), "sampling.top_k", 2**32 - 1)
    yield invalid("bias-id", request([5], {"logit_bias": {260: 1}}), "sampling.logit_bias[260]", 260)
    yield invalid("bias-high", request([5], {"logit_bias": {3: 100.5}}), "sampling.logit_bias[3]", 100.5, 100)
    yield invalid("bias-low", request([5], {"logit_bias": {3: -101}}), "sampling.logit_bias[3]", -101)
    yield invalid("bias-nan", request([5], {"logit_bias": {3: math.nan}}), "sampling.logit_bias[3]", "nan")
    many = {i: 0 for i in range(1025)}
    yield invalid("bias-many", request([5], {"logit_bias": many}), "sampling.logit_bias", 1025, 1024)


def stop_rows():
    yield invalid("max-tokens-0", request([5], None, {"max_tokens": 0}), "stop.max_tokens", 0, "1 to 5000")
    yield invalid("max-tokens", request([5], None, {"max_tokens": 5001}), "stop.max_tokens", 5001, 5000)
    yield invalid("min-tokens", request([5], None, {"max_tokens": 5, "min_tokens": 6}), "stop.min_tokens", 6, 5)
    yield invalid("stop-empty", request([5], None, {"stop_strings": ["a", ""]}), "stop.stop_strings[1]", 0, 256)
    yield invalid("stop-long", request([5], None, {"stop_strings": ["a" * 257]}), "stop.stop_strings[0]", 257, 256)
    yield invalid("stop-many", request([5], None, {"stop_strings": ["a"] * 17}), "stop.stop_strings", 17, 16)
    not_utf8 = request([5]).SerializeToString() + wire(4, wire(3, b"ok") + wire(3, b"a\xff"))
    yield invalid("stop-utf8", not_utf8, "stop.stop_strings[1]", "UTF-8", 1)
    yield invalid("stop-id", request([5], None, {"stop_token_ids": [1, 260]}), "stop.stop_token_ids[1]", 260)
    yield invalid("stop-ids", request([5], None, {"stop_token_ids": [1] * 65}), "stop.stop_token_ids", 65, 64)
    yield invalid("stop-no-tokenizer", request([5], None, {"stop_strings": ["a"]}), "stop.stop_strings",
                  "tokenizer", server="ids", reason="NO_TOKENIZER", code=PRECONDITION)


def generate_rows():
    yield invalid("no-prompt", inference.GenerateRequest(), "text", "required")
    yield invalid("empty-text", request(""), "text", "empty")
    yield invalid("no-ids", inference.GenerateRequest(tokens=inference.TokenIds()), "tokens.ids", "at least one")
    yield invalid("bytes", request("x" * 4001), "text", 4001, 4000, reason="PROMPT_TOO_LONG")
    yield invalid("tokens-of-text", request("x" * 2001), "text", 2001, 2000, reason="PROMPT_TOO_LONG")
    yield invalid("tokens", request([1] * 2001), "tokens.ids", 2001, 2000, reason="PROMPT_TOO_LONG")
    yield invalid("id", request([1, 2, 3, 260]), "tokens.ids[3]", 260)
    yield invalid("id-max", request([2**32 - 1]), "tokens.ids[0]", 2**32 - 1, 260)
    yield invalid("utf8", wire(1, b"abc\xff"), "text", "UTF-8", 3)
    yield invalid("utf8-surrogate", wire(1, b"\xed\xa0\x80"), "text", "UTF-8", 0)
    yield invalid("utf8-cut", wire(1, "é".encode()[:1]), "text", "UTF-8", 0)
    yield invalid("n-0", request([5], n=0), "n", 0, "1 to 8")
    yield invalid("n", request([5], n=9), "n", 9, 8)
    yield invalid("logprobs", request([5], logprobs=21), "logprobs", 21, 20)
    yield invalid("prompt-logprobs", request([5], prompt_logprobs=21), "prompt_logprobs", 21, 20)
    yield invalid("prompt-logprobs-long", request([5] * 1001, prompt_logprobs=0), "tokens.ids", 1001, 1000,
                  reason="PROMPT_TOO_LONG")
    yield invalid("request-id-long", request([5], request_id="x" * 65), "request_id", 65, 64)
    yield invalid("request-id-line", request([5], request_id="a\nb"), "request_id", "printable")
    yield invalid("request-id-utf8", request([5]).SerializeToString() + wire(9, b"\xff"), "request_id", "printable")
    yield invalid("text-without-tokenizer", request("abc"), "text", "tokenizer", server="ids", reason="NO_TOKENIZER",
                  code=PRECONDITION)
    yield invalid("generate-on-classifier", request([5]), "", "classifier", server="classifier", reason="WRONG_TASK",
                  code=PRECONDITION)
    yield invalid("positions", request([1] * 30, None, {"max_tokens": 35}), "stop.max_tokens", 30, 35, 64,
                  server="attention", reason="POSITION_OUT_OF_RANGE", code="OUT_OF_RANGE")


def unary_rows():
    ids = inference.TokenIds
    score, classify = inference.ScoreRequest, inference.ClassifyRequest
    for name, method, kind, server, limit in (("score", SCORE, score, "text", 1000),
                                              ("classify", CLASSIFY, classify, "classifier", 300)):
        def row(title, message, field, *words, m=method, s=server, n=name, **fields):
            return invalid(f"{n}-{title}", message, field, *words, method=m, server=s, **fields)
        yield row("nothing", kind(), "text", "required")
        yield row("empty", kind(text=""), "text", "empty")
        yield row("no-ids", kind(tokens=ids()), "tokens.ids", "at least one")
        yield row("long", kind(tokens=ids(ids=[1] * (limit + 1))), "tokens.ids", limit + 1, limit,
                  reason="PROMPT_TOO_LONG")
        yield row("id", kind(tokens=ids(ids=[1, 999])), "tokens.ids[1]", 999, 260)
        yield row("utf8", wire(1, b"\xc0\x80"), "text", "UTF-8", 0)
        yield row("request-id", kind(tokens=ids(ids=[1]), request_id="x" * 65), "request_id", 65, 64)
        yield row("garbage", b"\xff\xff\xff\xff", "", reason="MALFORMED_REQUEST")
    yield invalid("alternatives", score(tokens=ids(ids=[1, 2]), alternatives=21), "alternatives", 21, 20, method=SCORE)
    yield invalid("score-positions", score(tokens=ids(ids=[1] * 65)), "tokens.ids", 65, 64, method=SCORE,
                  server="attention", reason="POSITION_OUT_OF_RANGE", code="OUT_OF_RANGE")
    wrong = {"reason": "WRONG_TASK", "code": PRECONDITION}
    yield invalid("score-on-classifier", score(tokens=ids(ids=[1])), "", "classifier", method=SCORE,
                  server="classifier", **wrong)
    yield invalid("classify-on-lm", classify(tokens=ids(ids=[1])), "", "language model", method=CLASSIFY, **wrong)


def tokenizer_rows():
    none = {"server": "ids", "reason": "NO_TOKENIZER", "code": PRECONDITION}
    yield invalid("tokenize-long", tokenizer.TokenizeRequest(text="x" * 4001), "text", 4001, 4000, method=TOKENIZE,
                  reason="PROMPT_TOO_LONG")
    yield invalid("tokenize-utf8", wire(1, b"a\x80"), "text", "UTF-8", 1, method=TOKENIZE)
    yield invalid("tokenize-without", tokenizer.TokenizeRequest(text="a"), "text", "tokenizer", method=TOKENIZE,
                  **none)
    yield invalid("detokenize-id", tokenizer.DetokenizeRequest(token_ids=[1, 260]), "token_ids[1]", 260,
                  method=DETOKENIZE)
    yield invalid("detokenize-long", tokenizer.DetokenizeRequest(token_ids=[1] * 2001), "token_ids", 2001, 2000,
                  method=DETOKENIZE, reason="PROMPT_TOO_LONG")
    yield invalid("detokenize-without", tokenizer.DetokenizeRequest(token_ids=[1]), "", "tokenizer",
                  method=DETOKENIZE, **none)


# Ids that no session can have, and a word of what is said about each.
IDS = {"empty": (b"", "64"), "long": (b"x" * 65, 65), "slash": (b"a/b", "a/b"), "space": (b"a b", "a b"),
       "line": (b"a\n", "characters"), "zero": (b"a\0", "characters"), "unicode": ("é".encode(), "characters"),
       "utf8": (b"a\xff", "characters"), "long-unicode": ("é".encode() * 33, 66)}


def session_rows():
    for name, (session_id, word) in IDS.items():
        yield invalid(f"create-{name}", wire(1, session_id), "session_id", word, method=CREATE)
        yield invalid(f"fork-{name}", wire(1, b"sessions/a") + wire(2, b"b") + wire(2, session_id), "session_ids[1]",
                      word, method=FORK)
        yield invalid(f"get-{name}", wire(1, b"sessions/" + session_id), "name", word, method=GET)
        yield invalid(f"delete-{name}", wire(1, b"sessions/" + session_id), "name", word, method=DELETE)
        yield invalid(f"generate-{name}", request([5]).SerializeToString() + wire(10, b"sessions/" + session_id),
                      "session", word)
        if session_id:
            yield invalid(f"list-{name}", wire(2, session_id), "page_token", word, method=LIST)
    for name in (b"a", b"session/a", b"Sessions/a", b" sessions/a", b"sessions", b"\xff" * 300):
        for title, method, field in (("get", GET, "name"), ("delete", DELETE, "name"), ("fork", FORK, "name")):
            yield invalid(f"{title}-prefix-{name[:11]}", wire(1, name) + (wire(2, b"b") if method == FORK else b""),
                          field, "sessions/", method=method)
        yield invalid(f"generate-prefix-{name[:11]}", request([5]).SerializeToString() + wire(10, name), "session",
                      "sessions/")
    for title, kind, method in (("get", session.GetSessionRequest(), GET), ("fork", session.ForkSessionRequest(), FORK),
                                ("delete", session.DeleteSessionRequest(), DELETE)):
        yield invalid(f"{title}-no-name", kind, "name", "sessions/", method=method)
        yield invalid(f"{title}-garbage", b"\xff\xff\xff\xff", "", method=method, reason="MALFORMED_REQUEST")
    yield invalid("list-0", session.ListSessionsRequest(page_size=0), "page_size", 0, "1 to 1000", method=LIST)
    yield invalid("list-1001", session.ListSessionsRequest(page_size=1001), "page_size", 1001, 1000, method=LIST)
    fork = session.ForkSessionRequest
    yield invalid("fork-0", fork(name="sessions/a"), "session_ids", 0, "1 to 1024", method=FORK)
    yield invalid("fork-1025", fork(name="sessions/a", session_ids=[f"s{i}" for i in range(1025)]), "session_ids", 1025,
                  1024, method=FORK)
    yield invalid("fork-equal", fork(name="sessions/a", session_ids=["b", "c", "b"]), "session_ids[2]", "b",
                  method=FORK)
    for title, fields in (("n", {"n": 2}), ("echo", {"echo": True}), ("prompt_logprobs", {"prompt_logprobs": 0})):
        yield invalid(f"generate-session-{title}", request([5], session="sessions/a", **fields), title, "session")
    yield invalid("mark-alone", request([5], mark="a"), "mark", "session")
    yield invalid("mark-space", request([5], session="sessions/a", mark="a b"), "mark", "a b")
    missing = {"reason": "SESSION_NOT_FOUND", "code": "NOT_FOUND"}
    for title, message, method in (
            ("generate", request([5], session="sessions/none"), GENERATE),
            ("go-on", request(None, session="sessions/none"), GENERATE),
            ("get", session.GetSessionRequest(name="sessions/none"), GET),
            ("delete", session.DeleteSessionRequest(name="sessions/none"), DELETE),
            ("fork", fork(name="sessions/none", session_ids=["b"]), FORK)):
        yield invalid(f"{title}-not-found", message, "", "sessions/none", method=method, **missing)
    wrong = {"server": "classifier", "reason": "WRONG_TASK", "code": PRECONDITION}
    for title, message, method in (
            ("create", session.CreateSessionRequest(), CREATE), ("list", session.ListSessionsRequest(), LIST),
            ("get", session.GetSessionRequest(name="sessions/a"), GET),
            ("delete", session.DeleteSessionRequest(name="sessions/a"), DELETE),
            ("fork", fork(name="sessions/a", session_ids=["b"]), FORK),
            ("generate-with", request([5], session="sessions/a"), GENERATE)):
        yield invalid(f"{title}-on-classifier", message, "", "classifier", method=method, **wrong)


def wire_rows():
    yield invalid("garbage", b"\xff\xff\xff\xff", "", reason="MALFORMED_REQUEST")
    yield invalid("cut", request([1] * 50).SerializeToString()[:-1], "", reason="MALFORMED_REQUEST")
    yield invalid("tokenize-garbage", b"\x0a\x7fabc", "", method=TOKENIZE, reason="MALFORMED_REQUEST")
    yield invalid("unknown-method", b"", "", method="InferenceService/Embed", reason="", code="UNIMPLEMENTED")
    yield invalid("unknown-service", b"", "", method="NoService/Get", reason="", code="UNIMPLEMENTED")
    yield invalid("message-too-large", b"\x00" * (17 << 20), "", 17 << 20, 16 << 20, reason="",
                  code="RESOURCE_EXHAUSTED")


KINDS = (real_rows, sampling_rows, stop_rows, generate_rows, unary_rows, tokenizer_rows, session_rows, wire_rows)
ROWS = [row for rows in KINDS for row in rows()]
