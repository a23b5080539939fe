"""The Latte and Latte-Macchiato language model in PyTorch, in the form that trains fast on a CPU.

One model is a config (the checkpoint's config.json, as a dict) and a dict from tensor name to float32 tensor, both named
as in a checkpoint directory, so that exporting is writing the dict. Covered is what the models trained here use: layers
`macchiato`, `latte` and `sliding_attention`, query/key mixers `none` and `rglru`, RMSNorm before each branch, a gated
SiLU MLP, tied embeddings, optional RoPE on the local attention.

Shapes: B sequences, T tokens, D hidden_size, H query heads, G key/value heads, R = H / G, E head_dim,
M latents_per_head, C chunk length, N chunks.
"""
import json
import math
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

LATENT_KINDS = ("macchiato", "latte")
LOCAL_KINDS = ("macchiato", "sliding_attention")
# Latent key logits are exponentiated relative to their largest value in the sequence. Differences below this are cut
# in training (exp(-80) is still a normal float32). With exact=True these sums are in double and nothing is cut.
LOWEST_EXPONENT = -80.0
LOWEST_DOUBLE = -600.0


def make_config(**overrides):
    """A complete config.json with every key spelled out; `overrides` sets the sizes."""
    config = dict(
        model_type="latte", format_version=1, task="causal_lm",
        latent_scale=1.0, attention_softcap=None, local_position="rope", value_position="none", rope_theta=10000.0,
        position_embedding="none", qk_mixer="none", block="transformer", norm="rmsnorm", norm_placement="pre",
        norm_eps=1e-6, norm_weight_offset=0.0, mlp="gated", hidden_act="silu", embedding_scale=1.0,
        tie_word_embeddings=True, final_softcap=None, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config.update(overrides)
    config["num_hidden_layers"] = len(config["layer_types"])
    config.setdefault("attention_scale", config["head_dim"] ** -0.5)
    return config


def query_key_rows(config, kind):
    """Rows of the projections that read the query/key mixer's output, by tensor name, in the order they are fused."""
    h, g, e, m = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim", "latents_per_head"))
    rows = {}
    if kind in LATENT_KINDS:
        rows["latent_query"] = h * (m + (kind in LOCAL_KINDS))
        rows["latent_key"] = g * m
    if kind in LOCAL_KINDS:
        rows["q_proj"] = h * e
        rows["k_proj"] = g * e
    return rows


def init_parameters(config, seed, local_bias=False):
    """Float32 parameters by checkpoint tensor name. With `local_bias` macchiato layers get a latent_query bias that
    lets the local state start with half of the probability instead of one part in M + 1."""
    rng = torch.Generator().manual_seed(seed)
    d, f, e = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    h, g = config["num_attention_heads"], config["num_key_value_heads"]
    depth_scale = (2 * config["num_hidden_layers"]) ** -0.5  # branches that write to the residual stream start small
    p = {}

    def normal(name, shape, std):
        p[name] = torch.randn(shape, generator=rng) * std

    # Small, for the table is the output's too: at the start a token must not predict itself.
    normal("model.embed_tokens.weight", (config["vocab_size"], d), 0.3 * d ** -0.5)
    for i, kind in enumerate(config["layer_types"]):
        layer = f"model.layers.{i}."
        mixer = layer + "mixer."
        for norm in ("mixer_norm", "mlp_norm"):
            p[layer + norm + ".weight"] = torch.ones(d)
        for name, rows in query_key_rows(config, kind).items():
            normal(mixer + name + ".weight", (rows, d), (0.5 if name.startswith("latent") else 1.0) * d ** -0.5)
        if local_bias and kind == "macchiato":
            m = config["latents_per_head"]
            p[mixer + "latent_query.bias"] = torch.tensor([math.log(m)] + [0.0] * m).repeat(h) / config["latent_scale"]
        normal(mixer + "v_proj.weight", (g * e, d), d ** -0.5)
        normal(mixer + "o_proj.weight", (d, h * e), (h * e) ** -0.5 * depth_scale)
        if config["qk_mixer"] == "rglru":
            lru, n = mixer + "qk_mixer.rglru.", config["qk_mixer_blocks"]
            for gate in ("input_gate", "a_gate"):
                normal(lru + gate + ".weight", (n, d // n, d // n), (d // n) ** -0.5)
                p[lru + gate + ".bias"] = torch.zeros(d)
            decay = 0.9 + 0.099 * torch.rand(d, generator=rng)  # the decay a where the gate is fully open
            p[lru + "a_param"] = torch.log(torch.expm1(-torch.log(decay) / 8.0))
        normal(layer + "mlp.gate_proj.weight", (f, d), d ** -0.5)
        normal(layer + "mlp.up_proj.weight", (f, d), d ** -0.5)
        normal(layer + "mlp.down_proj.weight", (d, f), f ** -0.5 * depth_scale)
    p["model.norm.weight"] = torch.ones(d)
    return p


class LinearScan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + b_t over dim 1 of [B, T, D], h_{-1} = 0: one fused multiply-add a token."""

    @staticmethod
    def forward(ctx, a, b):
        h = torch.empty_like(b)
        h[:, 0] = b[:, 0]
        a_t, b_t, h_t = a.unbind(1), b.unbind(1), h.unbind(1)
        for t in range(1, len(h_t)):
            torch.addcmul(b_t[t], a_t[t], h_t[t - 1], out=h_t[t])
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx, grad_h):
        a, h = ctx.saved_tensors
        grad_b = torch.empty_like(h)
        grad_b[:, -1] = grad_h[:, -1]
        a_t, g_t, out_t = a.unbind(1), grad_h.unbind(1), grad_b.unbind(1)
        for t in range(len(out_t) - 2, -1, -1):
            torch.addcmul(g_t[t], a_t[t + 1], out_t[t + 1], out=out_t[t])
        grad_a = torch.zeros_like(a)
        torch.mul(grad_b[:, 1:], h[:, :-1], out=grad_a[:, 1:])
        return grad_a, grad_b


def rms_norm(x, weight, eps):
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def rglru(p, lru, x, dtype):
    """RG-LRU over x [B, T, D]: float32 state, gates in `dtype`; the first token starts the state without the root."""
    b, t, d = x.shape

    def gate(name):
        w = p[lru + name + ".weight"].to(dtype)
        blocks = x.reshape(b * t, w.shape[0], -1).transpose(0, 1)
        y = torch.bmm(blocks.to(dtype), w).transpose(0, 1).reshape(b, t, d)
        return torch.sigmoid(y.float() + p[lru + name + ".bias"])

    log_a = gate("a_gate") * (-8.0 * F.softplus(p[lru + "a_param"]))
    a = torch.exp(log_a)
    root = torch.sqrt(-torch.expm1(2.0 * log_a))
    root = torch.cat([torch.ones_like(root[:, :1]), root[:, 1:]], 1)
    return LinearScan.apply(a, root * gate("input_gate") * x.float())


def rotate(x, theta):
    """RoPE of x [B, T, heads, E] at positions 0..T-1, halves paired (i, i + E/2)."""
    t, e = x.shape[1], x.shape[-1]
    frequency = theta ** (-torch.arange(0, e, 2, dtype=torch.float64) / e)
    angle = (torch.arange(t, dtype=torch.float64)[:, None] * frequency)[None, :, None]
    cos, sin = torch.cos(angle).to(x.dtype), torch.sin(angle).to(x.dtype)
    lo, hi = x.chunk(2, -1)
    return torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], -1)


def chunked(x, chunk):
    """[B, T, G, X] -> [B, N, G, C, X]."""
    b, t, g, width = x.shape
    return x.reshape(b, t // chunk, chunk, g, width).transpose(2, 3)


def unchunked(x):
    """[B, N, G, C, X] -> [B, T, G, X]."""
    b, n, g, c, width = x.shape
    return x.transpose(2, 3).reshape(b, n * c, g, width)


def chunk_grouped_queries(x, groups, chunk):
    """[B, T, H, X] -> [B, N, G, R*C, X]: the R query heads of a key/value head side by side."""
    b, t, h, width = x.shape
    x = x.reshape(b, t // chunk, chunk, groups, h // groups, width)
    return x.permute(0, 1, 3, 4, 2, 5).reshape(b, t // chunk, groups, -1, width)


def unchunk_grouped_queries(x, heads, chunk):
    """[B, N, G, R*C, X] -> [B, T, H, X]."""
    b, n, g, _, width = x.shape
    x = x.reshape(b, n, g, heads // g, chunk, width).permute(0, 1, 4, 2, 3, 5)
    return x.reshape(b, n * chunk, heads, width)


def latent_attention(prob, key, value, chunk, dtype, exact):
    """sum_m p(m|t) vtilde_t[m] / alpha_t[m].  prob [B,T,H,M], key logits [B,T,G,M], value [B,T,G,E] -> [B,T,H,E].

    With e = exp(key - c) the weight of value s at token t is sum_m (p_tm / alpha_tm) e_sm: a masked matrix product
    inside a chunk, a product with the sum of the earlier chunks' e^T v outside.
    """
    b, t, h, m = prob.shape
    g = key.shape[2]
    lowest = LOWEST_EXPONENT
    if exact:
        prob, key, value, dtype, lowest = prob.double(), key.double(), value.double(), torch.float64, LOWEST_DOUBLE
    exponent = key - key.detach().amax(1, keepdim=True)
    if exact and exponent.min() < lowest:
        raise ValueError(f"latent key logits spread over {-exponent.min():.1f}, exact only up to {-lowest}")
    e = torch.exp(exponent.clamp(min=lowest))
    alpha = torch.cumsum(e, 1)
    # Not prob / alpha: the derivative of a quotient squares alpha, which may be as small as e^-80.
    inverse = torch.exp(-torch.log(alpha))
    weight = (prob.reshape(b, t, g, h // g, m) * inverse[:, :, :, None]).reshape(b, t, h, m)
    q = chunk_grouped_queries(weight.to(dtype), g, chunk)
    e, v = chunked(e.to(dtype), chunk), chunked(value.to(dtype), chunk)
    causal = torch.ones(chunk, chunk, dtype=torch.bool).tril().to(dtype).repeat(h // g, 1)
    y = ((q @ e.transpose(-1, -2)) * causal) @ v
    if t > chunk:
        past = torch.cumsum((e[:, :-1].transpose(-1, -2) @ v[:, :-1]).to(torch.promote_types(dtype, torch.float32)), 1)
        y = y + F.pad(q[:, 1:] @ past.to(dtype), (0, 0, 0, 0, 0, 0, 1, 0))
    return unchunk_grouped_queries(y, h, chunk)


def window_attention(q, k, v, window, scale, chunk, dtype):
    """Softmax attention over the last `window` <= C tokens. q [B,T,H,E], k, v [B,T,G,E] -> [B,T,H,E]."""
    h, g = q.shape[2], k.shape[2]
    q = chunk_grouped_queries((q * scale).to(dtype), g, chunk)
    k, v = chunked(k.to(dtype), chunk), chunked(v.to(dtype), chunk)
    # Each chunk of queries sees its own keys and those of the chunk before it (nothing before the first).
    k, v = (torch.cat([F.pad(x[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)), x], 3) for x in (k, v))
    row, column = torch.arange(chunk)[:, None], torch.arange(2 * chunk)[None, :] - chunk
    band = (column <= row) & (column > row - window)
    visible = torch.stack([band & (column >= 0)] + [band] * (k.shape[1] - 1))[:, None].repeat(1, 1, h // g, 1)
    score = (q @ k.transpose(-1, -2)).float() + torch.zeros(visible.shape).masked_fill(~visible, -torch.inf)
    return unchunk_grouped_queries(torch.softmax(score, -1).to(dtype) @ v, h, chunk)


def attention(config, p, mixer, kind, x, dtype, chunk, exact):
    h, g, e, m = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim", "latents_per_head"))
    b, t, _ = x.shape
    u = rglru(p, mixer + "qk_mixer.rglru.", x, dtype).to(dtype) if config["qk_mixer"] == "rglru" else x
    v = F.linear(x, p[mixer + "v_proj.weight"].to(dtype)).reshape(b, t, g, e)
    rows = query_key_rows(config, kind)
    fused = torch.cat([p[mixer + name + ".weight"] for name in rows]).to(dtype)
    part = dict(zip(rows, F.linear(u, fused).split(list(rows.values()), -1)))
    if mixer + "latent_query.bias" in p:
        part["latent_query"] = part["latent_query"] + p[mixer + "latent_query.bias"]
    if kind in LOCAL_KINDS:
        q, k = part["q_proj"].reshape(b, t, h, e), part["k_proj"].reshape(b, t, g, e)
        if config["local_position"] == "rope":
            q, k = rotate(q, config["rope_theta"]), rotate(k, config["rope_theta"])
        y = window_attention(q, k, v, config["sliding_window"], config["attention_scale"], chunk, dtype)
    if kind in LATENT_KINDS:
        local = kind in LOCAL_KINDS
        logits = part["latent_query"].reshape(b, t, h, m + local).float() * config["latent_scale"]
        prob = torch.softmax(logits, -1)
        key = part["latent_key"].reshape(b, t, g, m).float() * config["latent_scale"]
        latent = latent_attention(prob[..., local:], key, v, chunk, dtype, exact).to(dtype)
        y = latent + prob[..., :1].to(dtype) * y if local else latent
    return F.linear(y.reshape(b, t, h * e), p[mixer + "o_proj.weight"].to(dtype))


def hidden(config, p, tokens, dtype=torch.float32, exact=False):
    """Final normalised hidden states [B, T, D] of tokens [B, T]. Matrix products in `dtype`; sums, states and the
    residual stream in float32. `exact`: the latent sums in double, for evaluation."""
    length = tokens.shape[1]
    chunk = length if length <= 96 else max(config.get("sliding_window") or 0, 64)
    tokens = F.pad(tokens, (0, -length % chunk))  # later tokens never reach earlier ones
    eps = config["norm_eps"]
    x = p["model.embed_tokens.weight"][tokens] * config["embedding_scale"]
    for i, kind in enumerate(config["layer_types"]):
        layer = f"model.layers.{i}."
        u = rms_norm(x, p[layer + "mixer_norm.weight"], eps).to(dtype)
        y = attention(config, p, layer + "mixer.", kind, u, dtype, chunk, exact)
        x = x + y
        u = rms_norm(x, p[layer + "mlp_norm.weight"], eps).to(dtype)
        gate, up = (F.linear(u, p[layer + f"mlp.{name}_proj.weight"].to(dtype)) for name in ("gate", "up"))
        y = F.linear(F.silu(gate) * up, p[layer + "mlp.down_proj.weight"].to(dtype))
        x = x + y
    return rms_norm(x, p["model.norm.weight"], eps)[:, :length]


def logits(config, p, tokens, dtype=torch.float32, exact=False):
    """Next-token logits [B, T, vocab]."""
    return F.linear(hidden(config, p, tokens, dtype, exact=exact), p["model.embed_tokens.weight"])


def backward(config, p, x, targets, dtype, rows=1024):
    """Mean next-token loss of hidden states x [B, T, D], with its gradients accumulated into `p`. Targets below zero
    do not count. `rows` tokens at a time, so that the logits stay in the cache."""
    table = p["model.embed_tokens.weight"]
    leaf = x.detach().flatten(0, 1).requires_grad_()
    count, total = (targets >= 0).sum(), 0.0
    for part, target in zip(leaf.split(rows), targets.flatten().split(rows)):
        y = F.linear(part.to(dtype), table.to(dtype)).float()
        loss = F.cross_entropy(y, target, ignore_index=-1, reduction="sum") / count
        loss.backward()
        total += loss.item()
    x.backward(leaf.grad.view_as(x))
    return total


class Optimizer:
    """Muon for the matrices of the layers (it needs about half the tokens), AdamW for the table, the gates and the
    vectors; only matrices decay."""

    def __init__(self, p, peak):
        muon = [x for name, x in p.items() if x.ndim == 2 and "embed" not in name]
        rest = [x for name, x in p.items() if x.ndim != 2 or "embed" in name]
        groups = [dict(params=[x for x in rest if x.ndim > 1], weight_decay=0.1),
                  dict(params=[x for x in rest if x.ndim == 1], weight_decay=0.0)]
        self.parts = [torch.optim.Muon(muon, lr=peak, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
                      torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), eps=1e-9, fused=True)]

    def step(self, rate):
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad()


def learning_rate(step, steps, peak, warmup):
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def write_json(path, value, **kwargs):
    """Writes whole files only: a reader never sees half of one."""
    with open(path + ".part", "w", encoding="utf-8") as f:
        json.dump(value, f, **kwargs)
        f.write("\n")
    os.replace(path + ".part", path)


def export(directory, config, p, dtype):
    """Writes config.json and model.safetensors with weights rounded to `dtype`; returns those weights as float32."""
    os.makedirs(directory, exist_ok=True)
    rounded = {name: x.detach().to(dtype).contiguous() for name, x in p.items()}
    path = os.path.join(directory, "model.safetensors")
    save_file(rounded, path + ".part", metadata={"format": "pt"})
    os.chmod(path + ".part", 0o644)
    os.replace(path + ".part", path)
    torch_dtype = {torch.bfloat16: "bfloat16", torch.float32: "float32"}[dtype]
    write_json(os.path.join(directory, "config.json"), dict(config, torch_dtype=torch_dtype), indent=2)
    return {name: x.float() for name, x in rounded.items()}
