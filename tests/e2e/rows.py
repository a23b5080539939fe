"""A row of the table of requests that must be refused.

Which server, "Service/Method", the bytes to send, the status code, the ErrorInfo reason ("": an error of gRPC itself,
without details), the field, and words of the message (value and limit).
"""
from typing import NamedTuple

GENERATE = "InferenceService/Generate"
PRECONDITION = "FAILED_PRECONDITION"

# Ids that no session can have, and a word of what is said about each.
IDS = {"empty": (b"", "64"), "long": (b"x" * 65, 65), "slash": (b"a/b", "a/b"), "space": (b"a b", "a b"),
       "line": (b"a\n", "characters"), "zero": (b"a\0", "characters"), "unicode": ("é".encode(), "characters"),
       "utf8": (b"a\xff", "characters"), "long-unicode": ("é".encode() * 33, 66)}


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


def invalid(name, message, field, *words, method=GENERATE, server="text", reason="INVALID_FIELD",
            code="INVALID_ARGUMENT"):
    payload = message if isinstance(message, bytes) else message.SerializeToString()
    return Row(name, server, method, payload, code, reason, field, tuple(str(w) for w in words))
