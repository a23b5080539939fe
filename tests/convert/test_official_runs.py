"""Checkpoints that the authors' code saved in 2023 become the checkpoints whose logits tests/golden holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from barista.convert.__main__ import main

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "official"
RUNS = ("cls-bidirectional", "lm-glu-batchnorm")


@pytest.mark.parametrize("name", RUNS)
def test_conversion_gives_the_golden_checkpoint_byte_for_byte(name, tmp_path):
    assert main(["official", str(HERE / "data" / name), str(tmp_path / "out")]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["config.json", "model.safetensors", "tokenizer.json"]
    for file in written:
        assert (tmp_path / "out" / file).read_bytes() == (GOLDEN / name / file).read_bytes(), file


def test_module_runs_as_a_program_and_reports_what_it_wrote(tmp_path):
    source = HERE.parents[1] / "clients" / "python" / "src"
    done = subprocess.run([sys.executable, "-m", "barista.convert", "official", str(HERE / "data" / RUNS[0]),
                           str(tmp_path / "out"), "--dtype=bf16"], env={"PYTHONPATH": str(source)},
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("classification, 2 layers bidirectional, 110082 parameters in bf16, of step 200, tokenizer bytes"
            in done.stdout)
