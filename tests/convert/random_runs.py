"""Random runs of the authors' code: the tree it would save, and the tensors it must become.

Written the other way round than the converter: our tensors are drawn first, and the tree is built from them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

VOCABULARY, MODULES = 11, {"stable_latte": "StableScanLatte_0", "latte": "ScanLatte_0", "bid_latte": "BidLatte_0",
                           "standard_causal": "CausalSelfAttention_0"}


@dataclass(frozen=True)
class Kind:
    """The keys of config.yaml that tests vary."""

    attention_type: str = "stable_latte"
    block_type: str = "transformer"
    batchnorm: bool = False
    prenorm: bool = True
    pool: str = "mean"
    num_classes: int = 3
    hidden_dim: int = 8
    nlayers: int = 2
    nheads: int = 2
    L: int = 6
    max_seq_len: int = 32


KINDS = {
    "stable-latte": Kind(),
    "older-scan-latte": Kind("latte", "glu"),
    "standard-causal": Kind("standard_causal"),
    "standard-causal-glu-batchnorm": Kind("standard_causal", "glu", batchnorm=True),
    "post-norm": Kind(prenorm=False),
    "post-norm-glu": Kind(block_type="glu", prenorm=False),
    "batchnorm": Kind(batchnorm=True),
    "post-batchnorm": Kind(batchnorm=True, prenorm=False),
    "glu": Kind(block_type="glu"),
    "classifier-last": Kind("bid_latte", pool="last"),
    "classifier-mean-glu-post": Kind("bid_latte", "glu", prenorm=False),
}


class Run:
    """`state`: {"params": ..., "batch_stats": ..., "step": ...}; `tensors`: ours by name, float32."""

    def __init__(self, kind: Kind, seed: int = 0):
        self.kind, self.state, self.tensors = kind, {}, {}
        self._random = np.random.default_rng(seed)
        classifier = kind.attention_type == "bid_latte"
        encoder = "encoder" if classifier else "Encoder_0"
        embedding = self._draw("model.embed_tokens.weight", VOCABULARY, kind.hidden_dim)
        self._put(f"params/{encoder}/Embed_0/embedding", embedding)
        for i in range(kind.nlayers):
            self._block(f"model.layers.{i}", encoder, i)
        if kind.prenorm and not classifier:
            self._norm("model.norm", "", 0)
        if classifier:
            self._dense("score", "_head", kind.hidden_dim, kind.num_classes)
        else:
            self._dense("lm_head", "Dense_0", kind.hidden_dim, VOCABULARY)
        # What a training state holds besides, in the shapes that optax makes: lists, empty containers, scalars.
        self.state |= {"step": np.int32(7), "key": np.array([1, 2], np.uint32),
                       "opt_state": [{}, {"lr": np.float32(1e-3), "mu": [np.zeros(3, np.float32), None]}]}

    def save_config(self, run: Path) -> None:
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.yaml").write_text(yaml.safe_dump(asdict(self.kind) | {"name": "test", "lr": 0.001}))

    def _block(self, ours: str, encoder: str, i: int) -> None:
        D, block_type = self.kind.hidden_dim, "GLUBlock" if self.kind.block_type == "glu" else "TransBlock"
        block = f"{encoder}/{block_type}_{i}"
        self._norm(f"{ours}.mixer_norm", block, 0)
        module = f"params/{block}/{MODULES[self.kind.attention_type]}"
        if self.kind.attention_type == "standard_causal":
            thirds = [self._draw(f"{ours}.mixer.{name}.weight", D, D).T for name in ("q_proj", "k_proj", "v_proj")]
            self._put(f"{module}/Dense_0/kernel", np.concatenate(thirds, axis=1))
            self._put(f"{module}/Dense_1/kernel", self._draw(f"{ours}.mixer.o_proj.weight", D, D).T)
        else:
            for name, theirs, rows in (("latent_query", "Wq", self.kind.L), ("latent_key", "Wk", self.kind.L),
                                       ("v_proj", "Wv", D), ("o_proj", "o_proj", D)):
                self._put(f"{module}/{theirs}", self._draw(f"{ours}.mixer.{name}.weight", rows, D).T)
        if self.kind.block_type == "glu":
            self._dense(f"{ours}.glu.value", f"{block}/Dense_0", D, D)
            self._dense(f"{ours}.glu.gate", f"{block}/Dense_1", D, D)
        else:
            self._norm(f"{ours}.mlp_norm", block, 1)
            self._dense(f"{ours}.mlp.up_proj", f"{block}/Dense_0", D, 4 * D)
            self._dense(f"{ours}.mlp.down_proj", f"{block}/Dense_1", 4 * D, D)

    def _norm(self, ours: str, parent: str, index: int) -> None:
        path = f"{parent}/{'BatchNorm' if self.kind.batchnorm else 'LayerNorm'}_{index}".strip("/")
        scale = self._put(f"params/{path}/scale", self._draw(f"{ours}.weight", self.kind.hidden_dim))
        bias = self._put(f"params/{path}/bias", self._draw(f"{ours}.bias", self.kind.hidden_dim))
        if self.kind.batchnorm:
            mean = self._put(f"batch_stats/{path}/mean", self._random.normal(size=scale.shape).astype(np.float32))
            var = self._put(f"batch_stats/{path}/var", self._random.uniform(0.1, 2, scale.shape).astype(np.float32))
            root = np.sqrt(var.astype(np.float64) + 1e-5)
            self.tensors[f"{ours}.weight"] = (scale / root).astype(np.float32)
            self.tensors[f"{ours}.bias"] = (bias - mean * (scale / root)).astype(np.float32)

    def _dense(self, ours: str, theirs: str, inputs: int, outputs: int) -> None:
        self._put(f"params/{theirs}/kernel", self._draw(f"{ours}.weight", outputs, inputs).T)
        self._put(f"params/{theirs}/bias", self._draw(f"{ours}.bias", outputs))

    def _draw(self, name: str, *shape: int) -> np.ndarray:
        self.tensors[name] = self._random.normal(size=shape).astype(np.float32)
        return self.tensors[name]

    def _put(self, path: str, value: np.ndarray) -> np.ndarray:
        *parents, name = path.split("/")
        node = self.state
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = np.ascontiguousarray(value)
        return value
