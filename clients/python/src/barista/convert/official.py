"""Maps a training state of the Latte authors' code to our configuration and tensor names.

Theirs: Flax kernels [in, out], latent maps W [D, L] applied as x @ W with heads as contiguous column groups.
Ours: [out, in], the same order of heads; so every matrix is transposed, and nothing is permuted.
D hidden_dim, L latents of all heads, V vocabulary.
"""

import warnings
from typing import NamedTuple

import numpy as np

from .errors import ConvertError
from .official_settings import Settings
from .parameters import Parameters

_LAYER_NORM_EPS = 1e-6
_BATCH_NORM_EPS = 1e-5

# attention_type -> (module in the tree, our layer type)
_ATTENTION = {
    "stable_latte": ("StableScanLatte_0", "latte"),
    "latte": ("ScanLatte_0", "latte"),
    "bid_latte": ("BidLatte_0", "bidirectional"),
    "standard_causal": ("CausalSelfAttention_0", "full_attention"),
}


class Converted(NamedTuple):
    config: dict
    tensors: dict[str, np.ndarray]  # float32 or float64


def convert(settings: Settings, parameters: Parameters) -> Converted:
    """The whole model. Errors: ConvertError naming a tensor or a setting. Takes every tensor of `parameters`."""
    if settings.attention_type == "latte":
        warnings.warn("attention_type latte (ScanLatte): converted by its equation; a published revision of that "
                      "module permutes its output across positions, so compare some logits with your training code")
    if parameters.has_module("Encoder_0"):
        task, encoder = "causal_lm", "Encoder_0"
    elif parameters.has_module("encoder") and parameters.has_module("_head"):
        task, encoder = "classification", "encoder"
    else:
        raise ConvertError("neither a language model (Encoder_0, Dense_0) nor a classifier (encoder, _head) in params")
    _check_task(task, settings)
    vocabulary = _vocabulary(settings, parameters, encoder)
    mapper = _Mapper(settings, parameters)
    mapper.embedding(encoder, vocabulary)
    for i in range(settings.nlayers):
        mapper.block(i, encoder)
    if task == "causal_lm":
        if settings.prenorm:
            mapper.norm("model.norm", "", 0)
        mapper.dense("lm_head", "Dense_0", settings.hidden_dim, vocabulary)
    else:
        mapper.dense("score", "_head", settings.hidden_dim, settings.num_classes)
    parameters.expect_nothing_left()
    return Converted(_config(task, settings, vocabulary), mapper.tensors)


def _check_task(task: str, s: Settings) -> None:
    bidirectional = s.attention_type == "bid_latte"
    if bidirectional != (task == "classification"):
        raise ConvertError(f"attention_type {s.attention_type} in a {task} model is not supported: "
                           "language models need a causal one, classifiers bid_latte")
    if task == "classification" and s.num_classes < 2:
        raise ConvertError(f"num_classes: {s.num_classes} must be at least 2")


def _vocabulary(s: Settings, parameters: Parameters, encoder: str) -> int:
    shape = parameters.shape(f"params/{encoder}/Embed_0/embedding")
    if len(shape) != 2 or shape[0] < 1 or shape[1] != s.hidden_dim:
        raise ConvertError(f"tensor params/{encoder}/Embed_0/embedding has shape {list(shape)}, "
                           f"expected [vocabulary, {s.hidden_dim}] by the configuration")
    return shape[0]


class _Mapper:
    """Fills `tensors`, one module of the tree after the other."""

    def __init__(self, settings: Settings, parameters: Parameters):
        self.tensors: dict[str, np.ndarray] = {}
        self._s, self._parameters, self._D = settings, parameters, settings.hidden_dim

    def embedding(self, encoder: str, vocabulary: int) -> None:
        path = f"params/{encoder}/Embed_0/embedding"
        self.tensors["model.embed_tokens.weight"] = self._parameters.take(path, (vocabulary, self._D))

    def block(self, i: int, encoder: str) -> None:
        ours, D = f"model.layers.{i}", self._D
        if self._s.block_type == "glu":
            theirs = f"{encoder}/GLUBlock_{i}"
            self.norm(f"{ours}.mixer_norm", theirs, 0)
            self._attention(f"{ours}.mixer", theirs)
            self.dense(f"{ours}.glu.value", f"{theirs}/Dense_0", D, D)
            self.dense(f"{ours}.glu.gate", f"{theirs}/Dense_1", D, D)
            return
        theirs = f"{encoder}/TransBlock_{i}"
        self.norm(f"{ours}.mixer_norm", theirs, 0)
        self._attention(f"{ours}.mixer", theirs)
        self.norm(f"{ours}.mlp_norm", theirs, 1)
        self.dense(f"{ours}.mlp.up_proj", f"{theirs}/Dense_0", D, 4 * D)
        self.dense(f"{ours}.mlp.down_proj", f"{theirs}/Dense_1", 4 * D, D)

    def dense(self, ours: str, theirs: str, inputs: int, outputs: int) -> None:
        self.tensors[f"{ours}.weight"] = self._parameters.take(f"params/{theirs}/kernel", (inputs, outputs)).T
        self.tensors[f"{ours}.bias"] = self._parameters.take(f"params/{theirs}/bias", (outputs,))

    def norm(self, ours: str, parent: str, index: int) -> None:
        """LayerNorm as it is; BatchNorm folded into the scale and shift it is at inference."""
        kind = "BatchNorm" if self._s.batchnorm else "LayerNorm"
        path = f"{parent}/{kind}_{index}".lstrip("/")
        scale = self._parameters.take(f"params/{path}/scale", (self._D,))
        bias = self._parameters.take(f"params/{path}/bias", (self._D,))
        if self._s.batchnorm:
            mean = self._parameters.take(f"batch_stats/{path}/mean", (self._D,)).astype(np.float64)
            variance = self._parameters.take(f"batch_stats/{path}/var", (self._D,)).astype(np.float64)
            if (variance < 0).any():
                raise ConvertError(f"tensor batch_stats/{path}/var holds negative values")
            scale = scale / np.sqrt(variance + _BATCH_NORM_EPS)
            bias = bias - mean * scale
        self.tensors[f"{ours}.weight"], self.tensors[f"{ours}.bias"] = scale, bias

    def _attention(self, ours: str, block: str) -> None:
        D, L, module = self._D, self._s.L, f"params/{block}/{_ATTENTION[self._s.attention_type][0]}"
        if self._s.attention_type == "standard_causal":
            query_key_value = self._parameters.take(f"{module}/Dense_0/kernel", (D, 3 * D))
            for name, kernel in zip(("q_proj", "k_proj", "v_proj"), np.split(query_key_value, 3, axis=1)):
                self.tensors[f"{ours}.{name}.weight"] = kernel.T
            self.tensors[f"{ours}.o_proj.weight"] = self._parameters.take(f"{module}/Dense_1/kernel", (D, D)).T
            return
        for name, theirs, outputs in (("latent_query", "Wq", L), ("latent_key", "Wk", L), ("v_proj", "Wv", D),
                                      ("o_proj", "o_proj", D)):
            self.tensors[f"{ours}.{name}.weight"] = self._parameters.take(f"{module}/{theirs}", (D, outputs)).T


def _config(task: str, s: Settings, vocabulary: int) -> dict:
    head_dim, layer_type = s.hidden_dim // s.nheads, _ATTENTION[s.attention_type][1]
    config = {
        "model_type": "latte",
        "format_version": 1,
        "task": task,
        "vocab_size": vocabulary,
        "hidden_size": s.hidden_dim,
        "num_hidden_layers": s.nlayers,
        "layer_types": [layer_type] * s.nlayers,
        "num_attention_heads": s.nheads,
        "num_key_value_heads": s.nheads,
        "head_dim": head_dim,
    }
    if layer_type != "full_attention":
        config["latents_per_head"] = s.L // s.nheads
    config |= {
        "latent_scale": head_dim**-0.5 if s.attention_type == "latte" else 1.0,
        "attention_scale": head_dim**-0.5,
        "attention_softcap": None,
        "local_position": "none",
        "value_position": "none",
        "rope_theta": 10000.0,
        "position_embedding": "sinusoidal",
        "qk_mixer": "none",
        "block": s.block_type,
        "norm": "affine" if s.batchnorm else "layernorm",
        "norm_placement": "pre" if s.prenorm else "post",
        "norm_eps": _BATCH_NORM_EPS if s.batchnorm else _LAYER_NORM_EPS,
        "norm_weight_offset": 0.0,
    }
    if s.block_type == "transformer":
        config |= {"mlp": "plain", "hidden_act": "gelu", "intermediate_size": 4 * s.hidden_dim}
    config |= {
        "embedding_scale": 1.0,
        "tie_word_embeddings": False,
        "final_softcap": None,
        "max_position_embeddings": s.max_seq_len,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if task == "classification":
        config |= {"num_labels": s.num_classes, "pool": s.pool}
    return config
