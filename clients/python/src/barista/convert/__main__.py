"""Command line: python3 -m barista.convert official SRC DST."""

import argparse
import sys
import warnings
from pathlib import Path

from .errors import ConvertError
from .official import convert
from .official_settings import read_settings
from .orbax_tree import read_tree
from .parameters import Parameters
from .run_directory import find_tree
from .tokenizers import make_tokenizer
from .writer import DTYPES, cast, check_destination, write_checkpoint


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 written, 1 refused (the reason on stderr); argparse itself exits with 2."""
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        try:
            print(_official(options))
        except ConvertError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


def _official(options: argparse.Namespace) -> str:
    check_destination(options.dst)
    settings = read_settings(options.config or options.src / "config.yaml")
    step, folder = find_tree(options.src, options.step)
    config, tensors = convert(settings, Parameters(read_tree(folder)))
    tokenizer = make_tokenizer(options.tokenizer, config["vocab_size"])
    if tokenizer is not None:
        config |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    tensors = cast(tensors, options.dtype)
    write_checkpoint(options.dst, config, tensors, tokenizer.json if tokenizer else None)
    parameters = sum(tensor.size for tensor in tensors.values())
    return (f"{options.dst}: {config['task']}, {len(config['layer_types'])} layers {config['layer_types'][0]}, "
            f"{parameters} parameters in {options.dtype}, of step {step}, "
            f"tokenizer {tokenizer.name if tokenizer else 'none'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m barista.convert",
                                     description="Converts checkpoints for barista-server.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    official = kinds.add_parser("official", help="a run of the Latte authors' JAX/Flax code (Orbax checkpoints)")
    official.add_argument("src", type=Path, metavar="SRC", help="run directory: config.yaml and checkpoints/STEP/")
    official.add_argument("dst", type=Path, metavar="DST", help="checkpoint directory to make; must not exist")
    official.add_argument("--tokenizer", metavar="bytes|chars:FILE|PATH.json",
                          help="what the ids mean (default: bytes if the vocabulary has 260 entries, else none)")
    official.add_argument("--step", type=int, metavar="N", help="which checkpoint (default: the largest)")
    official.add_argument("--dtype", choices=list(DTYPES), default="f32", help="type of the weights (default: f32)")
    official.add_argument("--config", type=Path, metavar="FILE", help="the run's settings (default: SRC/config.yaml)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
