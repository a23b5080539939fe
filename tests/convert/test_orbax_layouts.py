"""Every kind of model and every Orbax layout converts to exactly the tensors it was made from."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from barista.convert.__main__ import main
from orbax_layouts import LAYOUTS, as_bfloat16
from random_runs import KINDS, Run


def convert(run_directory: Path, destination: Path, *flags: str) -> tuple[dict, dict[str, np.ndarray]]:
    assert main(["official", str(run_directory), str(destination), *flags]) == 0
    return json.loads((destination / "config.json").read_text()), load_file(destination / "model.safetensors")


def assert_same(actual: dict, expected: dict) -> None:
    assert sorted(actual) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_keeps_its_tensors(kind, tmp_path):
    run = Run(KINDS[kind])
    run.save_config(tmp_path / "run")
    LAYOUTS["ocdbt"](tmp_path / "run" / "checkpoints" / "7", {"model": run.state})
    _, tensors = convert(tmp_path / "run", tmp_path / "out")
    assert_same(tensors, run.tensors)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_keeps_the_tensors(layout, tmp_path):
    run = Run(KINDS["batchnorm"], seed=1)
    run.save_config(tmp_path / "run")
    LAYOUTS[layout](tmp_path / "run" / "checkpoints" / "7", {"model": run.state})
    _, tensors = convert(tmp_path / "run", tmp_path / "out")
    assert_same(tensors, run.tensors)


@pytest.mark.parametrize("layout", ("ocdbt", "msgpack"))
def test_bfloat16_parameters_are_read(layout, tmp_path):
    run = Run(KINDS["glu"])
    run.save_config(tmp_path / "run")
    LAYOUTS[layout](tmp_path / "run" / "checkpoints" / "7", {"model": as_bfloat16(run.state)})
    _, tensors = convert(tmp_path / "run", tmp_path / "out", "--dtype=bf16")
    assert_same(tensors, {name: value.astype(ml_dtypes.bfloat16) for name, value in run.tensors.items()})


def test_state_without_the_model_root_is_read(tmp_path):
    run = Run(KINDS["stable-latte"])
    run.save_config(tmp_path / "run")
    LAYOUTS["ocdbt"](tmp_path / "run" / "checkpoints" / "7", {"params": run.state["params"]})
    assert_same(convert(tmp_path / "run", tmp_path / "out")[1], run.tensors)


def test_largest_integer_step_is_taken_and_unfinished_ones_are_not(tmp_path):
    old, new = Run(KINDS["stable-latte"], seed=1), Run(KINDS["stable-latte"], seed=2)
    new.save_config(tmp_path / "run")
    steps = tmp_path / "run" / "checkpoints"
    LAYOUTS["msgpack"](steps / "900", {"model": old.state})
    LAYOUTS["msgpack"](steps / "1000", {"model": new.state})
    (steps / "2000.orbax-checkpoint-tmp-1").mkdir()
    assert_same(convert(tmp_path / "run", tmp_path / "largest")[1], new.tensors)
    assert_same(convert(tmp_path / "run", tmp_path / "chosen", "--step=900")[1], old.tensors)


CONFIGS = {
    "stable-latte": {"task": "causal_lm", "layer_types": ["latte"] * 2, "latent_scale": 1.0, "latents_per_head": 3,
                     "head_dim": 4, "norm": "layernorm", "norm_eps": 1e-6, "norm_placement": "pre", "mlp": "plain",
                     "intermediate_size": 32},
    "older-scan-latte": {"layer_types": ["latte"] * 2, "latent_scale": 0.5, "block": "glu"},
    "standard-causal": {"layer_types": ["full_attention"] * 2, "attention_scale": 0.5, "max_position_embeddings": 32},
    "post-batchnorm": {"norm": "affine", "norm_placement": "post"},
    "classifier-last": {"task": "classification", "layer_types": ["bidirectional"] * 2, "pool": "last",
                        "num_labels": 3},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_settings_become_config_json(kind, tmp_path):
    run = Run(KINDS[kind])
    run.save_config(tmp_path / "run")
    LAYOUTS["msgpack"](tmp_path / "run" / "checkpoints" / "7", {"model": run.state})
    config, _ = convert(tmp_path / "run", tmp_path / "out")
    assert {key: config[key] for key in CONFIGS[kind]} == CONFIGS[kind]
    assert (config["position_embedding"], config["tie_word_embeddings"]) == ("sinusoidal", False)
    assert config["vocab_size"] == 11
    assert ("latents_per_head" in config) == (kind != "standard-causal")
