"""A transformer with a KV cache of fixed size in PyTorch, our own code: its decode step as a CUDA graph, and compiled."""
import time

import torch
from torch.nn import functional as F

from peers.shape import Peer


class Transformer(torch.nn.Module):
    """Rotary attention and a gated MLP, whose width makes up the shape's number of parameters. Tied embedding."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        inner = shape.heads * shape.head_dim
        attention = 4 * shape.hidden * inner + 2 * shape.hidden
        left = shape.parameters - shape.vocab * shape.hidden - shape.hidden - shape.layers * attention
        width = left // (shape.layers * 3 * shape.hidden) // 64 * 64 or 64

        def linear(inputs, outputs):
            return torch.nn.Linear(inputs, outputs, bias=False)
        self.embedding = torch.nn.Embedding(shape.vocab, shape.hidden)
        self.layers = torch.nn.ModuleList(torch.nn.ModuleDict({
            "norm": torch.nn.RMSNorm(shape.hidden), "qkv": linear(shape.hidden, 3 * inner), "o": linear(inner, shape.hidden),
            "mlp_norm": torch.nn.RMSNorm(shape.hidden), "up": linear(shape.hidden, 2 * width),
            "down": linear(width, shape.hidden)}) for _ in range(shape.layers))
        self.norm = torch.nn.RMSNorm(shape.hidden)

    def rotate(self, x, positions):
        """x [B, H, T, E] at positions [T]."""
        half = x.shape[-1] // 2
        frequency = 10000.0 ** (-torch.arange(half, device=x.device) / half)
        angle = positions[:, None] * frequency
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cosine - b * sine, b * cosine + a * sine], -1)

    def forward(self, tokens, positions, cache):
        """tokens [B, T] at positions [T] -> logits [B, V] of the last; cache: of each layer, keys and values [2, B, H, S, E]."""
        x = self.embedding(tokens)
        visible = torch.arange(cache.shape[4], device=x.device) <= positions[:, None]
        for layer, (keys, values) in zip(self.layers, cache):
            q, k, v = (part.unflatten(-1, (self.shape.heads, -1)).transpose(1, 2)
                       for part in layer["qkv"](layer["norm"](x)).chunk(3, -1))
            keys.index_copy_(2, positions, self.rotate(k, positions))
            values.index_copy_(2, positions, v)
            y = F.scaled_dot_product_attention(self.rotate(q, positions), keys, values, attn_mask=visible)
            x = x + layer["o"](y.transpose(1, 2).flatten(2))
            gate, up = layer["up"](layer["mlp_norm"](x)).chunk(2, -1)
            x = x + layer["down"](F.silu(gate) * up)
        return self.norm(x[:, -1]) @ self.embedding.weight.T


class Decoder:
    """Greedy sequences at one position. The buffers stay where they are, so that a graph may hold their addresses."""

    def __init__(self, model, batch, length, device, dtype):
        shape = model.shape
        self.tokens = torch.arange(batch, device=device)[:, None] % shape.vocab
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.cache = torch.zeros(shape.layers, 2, batch, shape.heads, length, shape.head_dim, device=device, dtype=dtype)
        self.model = model

    @torch.no_grad()
    def step(self):
        logits = self.model(self.tokens, self.position, self.cache)
        self.tokens.copy_(logits.argmax(-1, keepdim=True))
        self.position.add_(1)


class Base(Peer):
    STEPS = 64

    def __init__(self, shape, device):
        self.device, self.dtype = device, torch.bfloat16 if device == "cuda" else torch.float32
        torch.manual_seed(0)
        self.model = Transformer(shape).to(device, self.dtype).eval()
        self.shape = shape

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def timed(self, call, count):
        self.wait()
        begin = time.perf_counter()
        for _ in range(count):
            call()
        self.wait()
        return time.perf_counter() - begin, count

    def fast(self, decoder):
        """decoder.step, made fast. It has run already."""
        raise NotImplementedError

    def decode(self, batch, context):
        decoder = Decoder(self.model, batch, context + self.STEPS, self.device, self.dtype)
        for _ in range(3):
            decoder.step()
        call = self.fast(decoder)
        call()

        def run():
            decoder.position.fill_(context)  # what the cache holds before it costs the same
            return self.timed(call, self.STEPS)
        return run

    @torch.no_grad()
    def prefill(self, tokens):
        decoder = Decoder(self.model, 1, tokens, self.device, self.dtype)
        prompt = torch.arange(tokens, device=self.device)[None] % self.shape.vocab
        positions = torch.arange(tokens, device=self.device)

        @torch.no_grad()
        def call():
            self.model(prompt, positions, decoder.cache)
        call()
        return lambda: self.timed(call, 1)


class Graph(Base):
    name = "PyTorch transformer, CUDA graph"

    def fast(self, decoder):
        if self.device != "cuda":
            return decoder.step
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            decoder.step()
        return graph.replay


class Compiled(Base):
    name = "PyTorch transformer, torch.compile"

    def fast(self, decoder):
        return torch.compile(decoder.step, mode="reduce-overhead" if self.device == "cuda" else "default")

    def prefill(self, tokens):
        return None  # as Graph's


def all_of(shape, device, arguments):
    yield Graph(shape, device)
    if device == "cuda":
        yield Compiled(shape, device)


@torch.no_grad()
def check(shape):
    """Token by token and at once give the same logits."""
    model = Transformer(shape).eval()
    tokens = (torch.arange(3 * shape.window) * 7)[None] % shape.vocab
    length = tokens.shape[1]
    whole = model(tokens, torch.arange(length), Decoder(model, 1, length, "cpu", torch.float32).cache)
    decoder = Decoder(model, 1, length, "cpu", torch.float32)
    for position in range(length):
        logits = model(tokens[:, position:position + 1], torch.tensor([position]), decoder.cache)
    error = float((logits - whole).abs().max() / whole.abs().max())
    assert error < 1e-4, f"torch: the two forms differ by {error}"
