"""Calls to a server, and what came back as plain values."""
import contextlib
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2

from server import until
from stubs import (inference, inference_pb2_grpc, model, model_pb2_grpc, session, session_pb2_grpc, tokenizer,
                   tokenizer_pb2_grpc)


@dataclass
class Choice:
    text: str = ""
    ids: list = field(default_factory=list)
    logprobs: list = field(default_factory=list)  # TokenLogprob messages
    pieces: list = field(default_factory=list)    # text of each chunk
    finish: str = ""                              # "LENGTH"; "" while it has not ended
    stop: object = None                           # the stop string or token that ended it


@dataclass
class Generation:
    choices: dict = field(default_factory=dict)
    progress: list = field(default_factory=list)  # (done, total)
    echo_text: str = ""
    echo_ids: list = field(default_factory=list)
    echo_logprobs: list = field(default_factory=list)
    echo_messages: int = 0
    kinds: list = field(default_factory=list)     # which event each message held
    summary: object = None

    def __getattr__(self, name):  # text, ids, … of the first choice
        return getattr(self.choices[0], name)

    def add(self, message):
        kind = message.WhichOneof("event")
        self.kinds.append(kind)
        if kind == "progress":
            self.progress.append((message.progress.tokens_done, message.progress.prompt_tokens))
        elif kind == "prompt":
            self.echo_messages += 1
            self.echo_text += message.prompt.text
            self.echo_ids += message.prompt.token_ids
            self.echo_logprobs += message.prompt.logprobs
        elif kind == "summary":
            self.summary = message.summary
        else:
            chunk = message.chunk
            choice = self.choices.setdefault(chunk.choice, Choice())
            assert choice.finish == "", "a chunk after the last one of its choice"
            choice.text += chunk.text
            choice.pieces.append(chunk.text)
            choice.ids += chunk.token_ids
            choice.logprobs += chunk.logprobs
            assert chunk.generated_tokens == len(choice.ids)
            if chunk.HasField("finish_reason"):
                choice.finish = inference.FinishReason.Name(chunk.finish_reason).removeprefix("FINISH_REASON_")
                stop = chunk.WhichOneof("matched_stop")
                choice.stop = getattr(chunk, stop) if stop else None


def collect(stream):
    generation = Generation()
    for message in stream:
        assert generation.summary is None, "a message after the summary"
        generation.add(message)
    return generation


def request(prompt, sampling=None, stop=None, **fields):
    """GenerateRequest of a text, of token ids, or of None: no prompt. `fields`: its other fields."""
    message = inference.GenerateRequest(sampling=sampling, stop=stop, **fields)
    if isinstance(prompt, str):
        message.text = prompt
    elif prompt is not None:
        message.tokens.ids.extend(int(i) for i in prompt)
    return message


def greedy(prompt, tokens, **fields):
    return request(prompt, {"temperature": 0}, {"max_tokens": tokens, "ignore_eos": True}, **fields)


class CallDetails(NamedTuple):
    """As grpc.ClientCallDetails."""

    method: str
    timeout: float
    metadata: list
    credentials: object
    wait_for_ready: bool
    compression: object


class WithMetadata(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
                   grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Adds metadata to every call."""

    def __init__(self, *metadata):
        self._metadata = metadata

    def _intercept(self, go_on, details, request_or_iterator):
        changed = CallDetails(details.method, details.timeout, [*(details.metadata or ()), *self._metadata],
                              details.credentials, details.wait_for_ready, details.compression)
        return go_on(changed, request_or_iterator)

    intercept_unary_unary = intercept_unary_stream = _intercept
    intercept_stream_unary = intercept_stream_stream = _intercept


class Client:
    """metadata: (key, value) pairs that every call carries. credentials: of the channel; None: plaintext."""

    def __init__(self, address, *options, metadata=(), credentials=None, interceptors=()):
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), *options]
        self.channel = (grpc.insecure_channel(address, options) if credentials is None
                        else grpc.secure_channel(address, credentials, options))
        interceptors = [*([WithMetadata(*metadata)] if metadata else []), *interceptors]
        if interceptors:
            self.channel = grpc.intercept_channel(self.channel, *interceptors)
        self.inference = inference_pb2_grpc.InferenceServiceStub(self.channel)
        self.tokenizer = tokenizer_pb2_grpc.TokenizerServiceStub(self.channel)
        self.models = model_pb2_grpc.ModelServiceStub(self.channel)
        self.sessions = session_pb2_grpc.SessionServiceStub(self.channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def generate(self, *args, timeout=120, **fields):
        return collect(self.inference.Generate(request(*args, **fields), timeout=timeout))

    def greedy(self, prompt, tokens, timeout=120, **fields):
        return collect(self.inference.Generate(greedy(prompt, tokens, **fields), timeout=timeout))

    def score(self, ids, timeout=120, **fields):
        tokens = inference.TokenIds(ids=[int(i) for i in ids])
        return self.inference.Score(inference.ScoreRequest(tokens=tokens, **fields), timeout=timeout)

    def classify(self, ids):
        tokens = inference.TokenIds(ids=[int(i) for i in ids])
        return self.inference.Classify(inference.ClassifyRequest(tokens=tokens), timeout=120)

    def model(self):
        return self.models.GetModel(model.GetModelRequest(), timeout=30).model

    def tokenize(self, text):
        return self.tokenizer.Tokenize(tokenizer.TokenizeRequest(text=text), timeout=30)

    def detokenize(self, ids):
        return self.tokenizer.Detokenize(tokenizer.DetokenizeRequest(token_ids=ids), timeout=30).text

    def create_session(self, session_id=None):
        return self.sessions.CreateSession(session.CreateSessionRequest(session_id=session_id), timeout=30).session

    def get_session(self, name):
        return self.sessions.GetSession(session.GetSessionRequest(name=name), timeout=30).session

    def list_sessions(self, page_size=None, page_token=None):
        """One page, as the ListSessionsResponse."""
        message = session.ListSessionsRequest(page_size=page_size, page_token=page_token)
        return self.sessions.ListSessions(message, timeout=30)

    def delete_session(self, name):
        self.sessions.DeleteSession(session.DeleteSessionRequest(name=name), timeout=30)

    def fork_session(self, name, *session_ids, **fields):
        message = session.ForkSessionRequest(name=name, session_ids=session_ids, **fields)
        return list(self.sessions.ForkSession(message, timeout=30).sessions)

    def append(self, name, *pieces, mark=None, timeout=60):
        """AppendResponse. Each piece is a text or token ids, and one message."""
        def messages():
            for i, piece in enumerate(pieces):
                first = {"session": name, "mark": mark} if i == 0 else {}
                message = inference.AppendRequest(**first)
                if isinstance(piece, str):
                    message.text = piece
                else:
                    message.tokens.ids.extend(int(t) for t in piece)
                yield message
        return self.inference.Append(messages(), timeout=timeout)

    def export_session(self, name):
        stream = self.sessions.ExportSession(session.ExportSessionRequest(name=name), timeout=60)
        return b"".join(message.data for message in stream)

    def import_session(self, data, session_id=None, piece=100_000):
        def messages():
            for begin in range(0, max(len(data), 1), piece):
                yield session.ImportSessionRequest(session_id=session_id if begin == 0 else None,
                                                   data=data[begin:begin + piece])
        return self.sessions.ImportSession(messages(), timeout=60).session

    def rewind(self, name, **target):
        """RewindSessionResponse; target: tokens=, mark= or turns=."""
        return self.sessions.RewindSession(session.RewindSessionRequest(name=name, **target), timeout=60)

    def snapshot(self, name, snapshot_id=None, tags=None, timeout=60, **fields):
        message = session.SnapshotSessionRequest(name=name, snapshot_id=snapshot_id, tags=tags, **fields)
        return self.sessions.SnapshotSession(message, timeout=timeout).snapshot

    def restore(self, snapshot, session_id=None, replace=None, timeout=60):
        """RestoreSessionResponse."""
        message = session.RestoreSessionRequest(snapshot=snapshot, session_id=session_id, replace=replace)
        return self.sessions.RestoreSession(message, timeout=timeout)

    def get_snapshot(self, name):
        return self.sessions.GetSnapshot(session.GetSnapshotRequest(name=name), timeout=30).snapshot

    def list_snapshots(self, page_size=None, page_token=None):
        """One page, as the ListSnapshotsResponse."""
        message = session.ListSnapshotsRequest(page_size=page_size, page_token=page_token)
        return self.sessions.ListSnapshots(message, timeout=30)

    def delete_snapshot(self, name):
        self.sessions.DeleteSnapshot(session.DeleteSnapshotRequest(name=name), timeout=30)

    def delete_sessions(self):
        """Deletes all of them, once their calls have ended."""
        for made in self.list_sessions(1000).sessions:
            until(lambda name=made.name: not self.get_session(name).busy, what="the end of its call")
            self.delete_session(made.name)

    @contextlib.contextmanager
    def session(self):
        """Name of an empty session, which is deleted at the end of the `with` block."""
        name = self.create_session().name
        try:
            yield name
        finally:
            self.delete_session(name)

    def raw(self, method, payload):
        """Sends bytes as they stand to "Service/Method" and reads all that comes."""
        call = self.channel.unary_stream(f"/barista.v1.{method}")
        return list(call(payload, timeout=60))


def past_of(data):
    """Of a session's bytes (server/engine/session_bytes.h) what its next tokens depend on: all but the number of copies
    that it had, the label, which has its name and times, and the checksums."""
    label = int.from_bytes(data[12:16], "little")
    assert data[:8] == b"BaristaS" and label <= 16384
    return data[16:112] + data[116:128], data[128 + label + 32:-32]


def until_others_pause(server, client):
    """Waits until nobody but `client` draws tokens. How many were drawn until then."""
    drawn = -1

    def paused():
        nonlocal drawn
        before, drawn = drawn, server.metrics()["barista_generation_tokens_total"]
        # Another call needs steps of its own to finish; who is paused made none meanwhile.
        assert len(client.greedy([4], 50).ids) == 50
        return server.metrics()["barista_generation_tokens_total"] - drawn == 50 and before != -1
    until(paused, what="a pause of the calls that are not read")
    return drawn


@dataclass
class Failure:
    """A failed call and its google.rpc details."""

    code: str
    message: str
    reason: str = ""
    domain: str = ""
    fields: list = field(default_factory=list)
    quota: list = field(default_factory=list)  # subjects
    retry_seconds: float = 0
    metadata: dict = field(default_factory=dict)


def failure(error):
    """The Failure of a grpc.RpcError. At most one ErrorInfo."""
    result = Failure(error.code().name, error.details())
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            retry, quota = error_details_pb2.RetryInfo(), error_details_pb2.QuotaFailure()
            if detail.Unpack(info):
                assert result.reason == "", "two ErrorInfo"
                result.reason, result.domain, result.metadata = info.reason, info.domain, dict(info.metadata)
            elif detail.Unpack(bad):
                result.fields += [v.field for v in bad.field_violations]
            elif detail.Unpack(quota):
                result.quota += [v.subject for v in quota.violations]
            elif detail.Unpack(retry):
                result.retry_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
    return result


def failed(call):
    """The Failure of call(), which must fail."""
    try:
        call()
    except grpc.RpcError as error:
        return failure(error)
    raise AssertionError("the call did not fail")
