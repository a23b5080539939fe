"""What cannot be converted is refused: exit code 1, one line that names the cause, and nothing at DST."""

import shutil

import numpy as np
import pytest
import yaml

from barista.convert.__main__ import main
from orbax_layouts import LAYOUTS
from random_runs import KINDS, Run


@pytest.fixture
def run(tmp_path):
    """A good run of one kind at tmp_path/run; tests break it. `save` writes the state, in msgpack unless told."""
    run = Run(KINDS["batchnorm"])
    run.directory = tmp_path / "run"
    run.save_config(run.directory)
    run.save = lambda layout="msgpack": LAYOUTS[layout](run.directory / "checkpoints" / "7", {"model": run.state})
    return run


@pytest.fixture
def refused(run, tmp_path, capsys):
    def check(*parts: str, flags: tuple[str, ...] = ()) -> None:
        before = sorted(path.name for path in tmp_path.iterdir())
        assert main(["official", str(run.directory), str(tmp_path / "out"), *flags]) == 1
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        for part in parts:
            assert part in errors[0]
        assert sorted(path.name for path in tmp_path.iterdir()) == before

    return check


def test_missing_run_directory(run, refused):
    shutil.rmtree(run.directory)
    refused("run/config.yaml: no such file")


def test_missing_config(run, refused):
    run.save()
    (run.directory / "config.yaml").unlink()
    refused("run/config.yaml: no such file")


def test_missing_checkpoints_directory(run, refused):
    refused("run/checkpoints: no such directory")


def test_no_steps(run, refused):
    (run.directory / "checkpoints" / "7.orbax-checkpoint-tmp-3").mkdir(parents=True)
    refused("run/checkpoints: no checkpoint steps")


def test_absent_step(run, refused):
    run.save()
    refused("no step 8; there are [7]", flags=("--step=8",))


def test_step_without_a_tree(run, refused):
    (run.directory / "checkpoints" / "7" / "default").mkdir(parents=True)
    refused("checkpoints/7: no Orbax tree in it")


def test_several_trees_in_one_step(run, refused):
    for item in ("a", "b"):
        (run.directory / "checkpoints" / "7" / item).mkdir(parents=True)
        (run.directory / "checkpoints" / "7" / item / "_METADATA").write_text("{}")
    refused("several trees in one step: ['a', 'b']")


@pytest.mark.parametrize(("key", "value", "message"), (
    ("rotary", True, "config.yaml: unknown key 'rotary'"),
    ("hidden_dim", "8", "hidden_dim: '8' is not of type int"),
    ("nlayers", True, "nlayers: True is not of type int"),
    ("nlayers", 0, "nlayers: 0 must be at least 1"),
    ("L", 7, "L: 7 is not divisible by nheads 2"),
    ("hidden_dim", 9, "hidden_dim: 9 is not divisible by nheads 2"),
    ("attention_type", "linformer", "attention_type: 'linformer' is not supported"),
    ("block_type", "mamba", "block_type: 'mamba' is not supported"),
    ("pool", "CLS", "pool: 'CLS' is not supported"),
    ("conv_embed", True, "conv_embed: image models are not supported"),
    ("nlayers", 3, "tensor model/params/Encoder_0/TransBlock_2/BatchNorm_0/scale is missing"),
    ("nlayers", 1, "unexpected tensors by the configuration: model/batch_stats/Encoder_0/TransBlock_1/"),
    ("L", 8, "StableScanLatte_0/Wq has shape [8, 6], expected [8, 8]"),
    ("hidden_dim", 16, "Embed_0/embedding has shape [11, 8], expected [vocabulary, 16]"),
    ("prenorm", False, "unexpected tensors by the configuration: model/batch_stats/BatchNorm_0/mean"),
    ("batchnorm", False, "tensor model/params/Encoder_0/TransBlock_0/LayerNorm_0/scale is missing"),
    ("attention_type", "standard_causal", "CausalSelfAttention_0/Dense_0/kernel is missing"),
    ("attention_type", "bid_latte", "attention_type bid_latte in a causal_lm model is not supported"),
    ("block_type", "glu", "GLUBlock_0/BatchNorm_0/scale is missing"),
))
def test_wrong_setting(run, refused, key, value, message):
    run.save()
    file = run.directory / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {key: value}))
    refused(message)


@pytest.mark.parametrize(("text", "message"), (("- 1\n", "expected a mapping"), ("a: [", "not YAML")))
def test_broken_config(run, refused, text, message):
    (run.directory / "config.yaml").write_text(text)
    refused(f"config.yaml: {message}")


def test_unknown_tensor_in_the_parameters(run, refused):
    run.state["params"]["Encoder_0"]["TransBlock_0"]["Adapter_0"] = {"kernel": np.zeros((2, 2), np.float32)}
    run.save("ocdbt")
    refused("unexpected tensors by the configuration: model/params/Encoder_0/TransBlock_0/Adapter_0/kernel")


def test_unknown_collection_in_the_state(run, refused):
    run.state["ema"] = {"x": np.zeros(2, np.float32)}
    run.save()
    refused("unexpected tensor model/ema/x; a training state holds params, batch_stats, opt_state, step, key")


def test_unknown_model(run, refused):
    run.state["params"] = {"mlp": run.state["params"]["Dense_0"]}
    run.save()
    refused("neither a language model (Encoder_0, Dense_0) nor a classifier (encoder, _head)")


def test_state_without_parameters(run, refused):
    run.state = {"step": 1}
    run.save()
    refused("no model/params in the checkpoint")


@pytest.mark.parametrize("layout", ("msgpack", "ocdbt", "zarr-directories"))
def test_wrong_shape(run, refused, layout):
    run.state["params"]["Dense_0"]["bias"] = np.zeros(12, np.float32)
    run.save(layout)
    refused("tensor model/params/Dense_0/bias has shape [12], expected [11]")


def test_integer_tensor(run, refused):
    run.state["params"]["Dense_0"]["bias"] = np.zeros(11, np.int32)
    run.save("ocdbt")
    refused("tensor model/params/Dense_0/bias has type int32")


def test_leaf_that_is_no_array(run, refused):
    run.state["params"]["Dense_0"]["bias"] = "eleven zeros"
    run.save()
    refused("model/params/Dense_0/bias: not an array but str")


@pytest.mark.parametrize("value", (np.nan, np.inf))
def test_value_that_is_not_finite(run, refused, value):
    run.state["params"]["Dense_0"]["bias"][3] = value
    run.save()
    refused("tensor model/params/Dense_0/bias holds values that are not finite")


def test_negative_variance(run, refused):
    run.state["batch_stats"]["BatchNorm_0"]["var"][0] = -1
    run.save()
    refused("tensor batch_stats/BatchNorm_0/var holds negative values")


def test_value_too_large_for_the_type(run, refused):
    run.state["params"]["Dense_0"]["bias"][3] = 1e5
    run.save()
    refused("tensor lm_head.bias: 1e+05 does not fit into f16", flags=("--dtype=f16",))


def test_truncated_msgpack(run, refused):
    run.save()
    file = run.directory / "checkpoints" / "7" / "default" / "checkpoint"
    file.write_bytes(file.read_bytes()[:-100])
    refused("default/checkpoint: not a msgpack checkpoint")


@pytest.mark.parametrize(("text", "message"), (
    ("{", "not JSON"), ("[]", "expected a JSON object"), ('{"tree_metadata": {"a": {}}}', "no tree_metadata")))
def test_broken_metadata(run, refused, text, message):
    run.save("ocdbt")
    (run.directory / "checkpoints" / "7" / "default" / "_METADATA").write_text(text)
    refused(f"default/_METADATA: {message}")


def test_array_that_the_metadata_promises_is_absent(run, refused):
    run.save("zarr-directories")
    shutil.rmtree(run.directory / "checkpoints" / "7" / "default" / "model.params.Dense_0.bias")
    refused("default: array model.params.Dense_0.bias cannot be opened")


def test_absent_chunk_is_damage_not_zeros(run, refused):
    run.save("zarr-directories")
    (run.directory / "checkpoints" / "7" / "default" / "model.params.Dense_0.bias" / "0").unlink()
    refused("default: array model.params.Dense_0.bias cannot be read")


@pytest.mark.parametrize("seed", range(20))
def test_damaged_ocdbt_is_refused_or_harmless(run, tmp_path, capsys, seed):
    """One flipped byte anywhere in the database: an error, or the right tensors where the byte did not matter."""
    from safetensors.numpy import load_file

    run.save("ocdbt")
    item = run.directory / "checkpoints" / "7" / "default"
    files = sorted([*item.rglob("d/*"), *item.rglob("manifest.ocdbt")])
    random = np.random.default_rng(seed)
    file = files[random.integers(len(files))]
    data = bytearray(file.read_bytes())
    data[random.integers(len(data))] ^= 0xFF
    file.write_bytes(data)
    if main(["official", str(run.directory), str(tmp_path / "out")]) == 0:
        for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items():
            np.testing.assert_array_equal(tensor, run.tensors[name])
    else:
        assert "error: " in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_existing_destination(run, tmp_path, capsys):
    run.save()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep").write_text("mine")
    assert main(["official", str(run.directory), str(tmp_path / "out")]) == 1
    assert "out: exists already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["keep"]


def test_destination_in_an_absent_directory(run, tmp_path, capsys):
    run.save()
    assert main(["official", str(run.directory), str(tmp_path / "a" / "out")]) == 1
    assert "a: no such directory" in capsys.readouterr().err


def test_older_scan_latte_warns(tmp_path, capsys):
    run = Run(KINDS["older-scan-latte"])
    run.save_config(tmp_path / "run")
    LAYOUTS["msgpack"](tmp_path / "run" / "checkpoints" / "7", {"model": run.state})
    assert main(["official", str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    assert "warning: attention_type latte (ScanLatte)" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(tmp_path):
    with pytest.raises(SystemExit) as error:
        main(["official", str(tmp_path), str(tmp_path / "out"), "--dtype=f8"])
    assert error.value.code == 2
