"""The Latte authors' algorithm in JAX, our own code: Macchiato with an RG-LRU mixer in the shape of bench-150m.

Training form: an associative scan for the RG-LRU, a scan over time with a running maximum for the latents, banded softmax
attention for the window. Two decoders: one step of the recurrences inside `lax.scan`, and the authors' sampler, which
computes the whole text again for each token.
"""
import functools
import os
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else it takes most of a card that all peers share
import jax  # noqa: E402  (reads the line before)
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

from peers.shape import Peer  # noqa: E402


def make_weights(shape, dtype):
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 16 * shape.layers + 8))
    inner, block = shape.heads * shape.head_dim, shape.hidden // shape.blocks

    def matrix(*sizes):
        return (jax.random.normal(next(keys), sizes) * sizes[-2] ** -0.5).astype(dtype)

    def layer():
        return {"norm": jnp.ones(shape.hidden), "mlp_norm": jnp.ones(shape.hidden),
                "latent_query": matrix(shape.hidden, shape.heads * (shape.latents + 1)),
                "latent_key": matrix(shape.hidden, shape.heads * shape.latents),
                "q": matrix(shape.hidden, inner), "k": matrix(shape.hidden, inner), "v": matrix(shape.hidden, inner),
                "o": matrix(inner, shape.hidden), "a_param": jnp.full(shape.hidden, -4.0),
                "input_gate": matrix(shape.blocks, block, block), "input_bias": jnp.zeros(shape.hidden),
                "a_gate": matrix(shape.blocks, block, block), "a_bias": jnp.zeros(shape.hidden),
                "up": matrix(shape.hidden, shape.mlp), "gate": matrix(shape.hidden, shape.mlp),
                "down": matrix(shape.mlp, shape.hidden)}

    embedding = (jax.random.normal(next(keys), (shape.vocab, shape.hidden)) * 0.02).astype(dtype)
    return {"embedding": embedding, "norm": jnp.ones(shape.hidden), "layers": [layer() for _ in range(shape.layers)]}


def rms_norm(x, weight):
    return x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * weight


def times(x, w):
    return jnp.dot(x.astype(w.dtype), w, preferred_element_type=jnp.float32)


def gates_of(w, x):
    """RG-LRU: what is kept of h, and what is added. x [..., D]."""
    blocks = w["input_gate"].shape[0]
    cut = x.reshape(*x.shape[:-1], blocks, -1).astype(w["input_gate"].dtype)

    def gate(weight, bias):
        return jax.nn.sigmoid(jnp.einsum("...ni,nio->...no", cut, weight).reshape(x.shape).astype(jnp.float32) + bias)
    log_a = -8.0 * gate(w["a_gate"], w["a_bias"]) * jax.nn.softplus(w["a_param"])
    return jnp.exp(log_a), jnp.sqrt(-jnp.expm1(2 * log_a)) * gate(w["input_gate"], w["input_bias"]) * x


def rotate(x, positions):
    """x [..., heads, E] at `positions` [...]."""
    half = x.shape[-1] // 2
    angle = positions[..., None, None] * 10000.0 ** (-jnp.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * jnp.cos(angle) - b * jnp.sin(angle), b * jnp.cos(angle) + a * jnp.sin(angle)], -1)


def mlp(w, x):
    h = rms_norm(x, w["mlp_norm"])
    return x + times(jax.nn.silu(times(h, w["gate"])) * times(h, w["up"]), w["down"])


def heads_of(x, shape):
    return x.reshape(*x.shape[:-1], shape.heads, -1)


def projections(w, shape, x, u, positions):
    p = jax.nn.softmax(heads_of(times(u, w["latent_query"]), shape))
    q, k = (rotate(heads_of(times(u, w[name]), shape), positions) for name in "qk")
    return p, heads_of(times(u, w["latent_key"]), shape), q * shape.head_dim**-0.5, k, heads_of(times(x, w["v"]), shape)


def forward(weights, shape, tokens):
    """The training form. tokens [T] -> logits of the last one."""
    x = weights["embedding"][tokens].astype(jnp.float32)
    positions = jnp.arange(len(tokens))
    age = positions[:, None] - positions[None, :]
    visible = (age >= 0) & (age < shape.window)
    for w in weights["layers"]:
        h = rms_norm(x, w["norm"])
        keep, add = gates_of(w, h)
        _, u = lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (keep.at[0].set(0), add))
        p, key, q, k, v = projections(w, shape, h, u, positions)

        def step(carry, inputs):
            carry = latents(carry, *inputs[1:])
            return carry, read(carry, inputs[0])
        _, y = lax.scan(step, fresh_latents(shape, ()), (p, key, v))
        scores = jnp.where(visible, jnp.einsum("the,she->hts", q, k), -jnp.inf)
        y += p[..., :1] * jnp.einsum("hts,she->the", jax.nn.softmax(scores), v)
        x = mlp(w, x + times(y.reshape(len(tokens), -1), w["o"]))
    return times(rms_norm(x[-1], weights["norm"]), weights["embedding"].T)


def fresh_latents(shape, batch):
    size = (*batch, shape.heads, shape.latents)
    return jnp.full(size, -jnp.inf), jnp.zeros(size), jnp.zeros((*size, shape.head_dim))


def latents(state, key, value):
    """One token goes into max, alpha [..., H, M] and vtilde [..., H, M, E]."""
    largest, alpha, vtilde = state
    now = jnp.maximum(largest, key)
    keep, add = jnp.exp(largest - now), jnp.exp(key - now)
    return now, alpha * keep + add, vtilde * keep[..., None] + add[..., None] * value[..., None, :]


def read(state, p):
    return jnp.einsum("...hm,...hme->...he", p[..., 1:] / state[1], state[2])


def fresh_state(shape, batch, dtype):
    def ring():
        return jnp.zeros((batch, shape.window, shape.heads, shape.head_dim), dtype)
    return [{"latents": fresh_latents(shape, (batch,)), "h": jnp.zeros((batch, shape.hidden)), "keys": ring(),
             "values": ring()} for _ in range(shape.layers)]  # buffers of their own: they are updated in place


def step(weights, shape, state, tokens, position):
    """One token of each sequence. tokens [B] -> (state, logits [B, V])."""
    x = weights["embedding"][tokens].astype(jnp.float32)
    positions = jnp.full(len(tokens), position)
    slot = position % shape.window
    filled = jnp.arange(shape.window) <= position
    after = []
    for w, s in zip(weights["layers"], state):
        h = rms_norm(x, w["norm"])
        keep, add = gates_of(w, h)
        u = jnp.where(position == 0, 0, keep) * s["h"] + add
        p, key, q, k, v = projections(w, shape, h, u, positions)
        now = latents(s["latents"], key, v)
        keys = s["keys"].at[:, slot].set(k.astype(s["keys"].dtype))
        values = s["values"].at[:, slot].set(v.astype(s["values"].dtype))
        scores = jnp.where(filled, jnp.einsum("bhe,bshe->bhs", q, keys), -jnp.inf)
        y = read(now, p) + p[..., :1] * jnp.einsum("bhs,bshe->bhe", jax.nn.softmax(scores), values)
        x = mlp(w, x + times(y.reshape(len(tokens), -1), w["o"]))
        after.append({"latents": now, "h": u, "keys": keys, "values": values})
    return after, times(rms_norm(x, weights["norm"]), weights["embedding"].T)


@functools.partial(jax.jit, static_argnames=("shape", "count"), donate_argnames="state")
def generate(weights, shape, state, tokens, position, count):
    """`count` greedy tokens of each sequence by a scan of one-token steps."""
    def one(carry, _):
        state, tokens, position = carry
        state, logits = step(weights, shape, state, tokens, position)
        tokens = jnp.argmax(logits, -1).astype(tokens.dtype)
        return (state, tokens, position + 1), tokens
    return lax.scan(one, (state, tokens, position), None, length=count)


whole = jax.jit(forward, static_argnames="shape")


def seconds_of(call):
    begin = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - begin, result


class Scan(Peer):
    name = "JAX, one-step scan"
    STEPS = 64

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.weights = shape, dtype, make_weights(shape, dtype)

    def parameters(self):
        return sum(leaf.size for leaf in jax.tree_util.tree_leaves(self.weights))

    def decode(self, batch, context):
        carry = [fresh_state(self.shape, batch, self.dtype), jnp.arange(batch) % self.shape.vocab, jnp.int32(0)]

        def run(count):
            seconds, (now, _) = seconds_of(lambda: generate(self.weights, self.shape, *carry, count))
            carry[:] = now
            return seconds, count
        for _ in range(2 + context // self.STEPS):  # compiles for what it is given first, and for what it gives back
            run(self.STEPS)
        return lambda: run(self.STEPS)

    def prefill(self, tokens):
        prompt = jnp.arange(tokens) % self.shape.vocab
        call = lambda: (seconds_of(lambda: whole(self.weights, self.shape, prompt))[0], 1)
        call()
        return call


class Recompute(Scan):
    name = "JAX, full recomputation"

    def decode(self, batch, context):
        if batch > 1:
            return None
        return self.prefill(context)  # of the text so far, for each token


def all_of(shape, device, arguments):
    jax.config.update("jax_platforms", "cuda" if device == "cuda" else "cpu")
    dtype = jnp.bfloat16 if device == "cuda" else jnp.float32
    yield Scan(shape, dtype)
    yield Recompute(shape, dtype)


def check(shape):
    """The one-token form and the training form give the same logits."""
    weights = make_weights(shape, jnp.float32)
    tokens = (jnp.arange(3 * shape.window) * 7) % shape.vocab
    state = fresh_state(shape, 1, jnp.float32)
    one = jax.jit(step, static_argnames="shape")
    for position, token in enumerate(tokens):
        state, logits = one(weights, shape, state, token[None], position)
    wanted = whole(weights, shape, tokens)
    error = float(jnp.max(jnp.abs(logits[0] - wanted)) / jnp.max(jnp.abs(wanted)))
    assert error < 1e-4, f"jax: the two forms differ by {error}"
