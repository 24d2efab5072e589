"""Arguments that several commands share, and how a command is added. Nothing here imports torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

CACHE = Path("runs/cache")  # below the ignored runs/: it holds pictures


class Commands:
    """Adds commands to the parser."""

    def __init__(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self.subparsers = subparsers

    def add(
        self, run: Callable[[argparse.Namespace], None], name: str, description: str, *example: str
    ) -> argparse.ArgumentParser:
        """The parser of one command, for its arguments. example: a command line, in pieces for its lines."""
        lines = " \\\n        ".join(example)
        parser = self.subparsers.add_parser(
            name,
            help=description,
            description=description,
            epilog=f"example:\n    {lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run)
        return parser


def print_result(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def print_note(line: str) -> None:
    """On stderr, beside the command's result."""
    sys.stderr.write(f"{line}\n")


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="MURA v1.1 tree, labels.csv folder or DICOM folder")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for decoded pictures (default: %(default)s)")


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        choices=("auto", "cuda", "cpu"),
        default="auto",
        help="default: a GPU where torch sees one, else cpu",
    )


def add_training(parser: argparse.ArgumentParser) -> None:
    """What `fit` and `ablate` share."""
    add_data(parser)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder: checkpoints, curves")
    parser.add_argument("--init", type=Path, help="weights to start from: torchvision's, timm's or a checkpoint")
    parser.add_argument(
        "--teacher", type=Path, nargs="+", default=[], help="checkpoints to distil from, where the recipe has [distil]"
    )
    add_device(parser)
    parser.add_argument("--workers", type=int, default=0, help="loader processes (default: %(default)s, in this one)")
    parser.add_argument("--save-every", type=int, default=0, metavar="STEPS", help="checkpoint also within epochs")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network; pays on a GPU")


def add_model(parser: argparse.ArgumentParser, nargs: str | int) -> None:
    """What `evaluate` and `predict` score with."""
    parser.add_argument("model", nargs=nargs, type=Path, help="a model folder, or checkpoints of `fit`")
    add_device(parser)
    parser.add_argument("--size", type=int, help="input size of checkpoints (default: the last of their training)")
    parser.add_argument("--threshold", type=float, help="abnormal above it (default: the card's; 0.5 for checkpoints)")
    parser.add_argument("--flips", action="store_true", help="score each picture and its mirror image, and average")


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoints", nargs="+", type=Path, help="one checkpoint, or the members of an ensemble")


def add_model_folder(parser: argparse.ArgumentParser) -> None:
    """What `export` and `ensemble` write."""
    parser.add_argument("--out", type=Path, required=True, help="the model folder; replaced if it exists")
    parser.add_argument("--card", type=Path, required=True, help="TOML: licence, attribution and limits of the data")
    parser.add_argument("--name", help="name of the model (default: the folder's)")
    parser.add_argument("--version", default="1", help="version of the model (default: %(default)s)")
    parser.add_argument("--size", type=int, help="input size in pixels (default: the last of the training)")
    parser.add_argument("--log", type=Path, help="the run's epochs, for the card (default: epochs.csv of each run)")
    parser.add_argument("--made-by", default="", help="the command that trained it (default: as recorded)")
