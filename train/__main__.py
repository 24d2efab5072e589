"""`python -m train COMMAND`: the door to training. argparse, because Click belongs to mura_batch.cli alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mura_batch.errors import ExitCode, MuraBatchError
from train import commands

CACHE = Path("runs/cache")  # below the ignored runs/: it holds pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or the error's own."""
    chosen = parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except MuraBatchError as error:
        sys.stderr.write(f"Error: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.OK)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m train", description="Trains models for mura-batch and exports them.")
    add = Adder(top.add_subparsers(required=True, metavar="COMMAND"))
    _data(add)
    _fit(add)
    _ablate(add)
    _evaluate(add)
    _predict(add)
    _calibrate(add)
    _export(add)
    _ensemble(add)
    _reopen(add)
    _quantize(add)
    _reference(add)
    _bench(add)
    return top


class Adder:
    """Adds a command with its sentence and its example."""

    def __init__(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        self.commands = commands

    def __call__(self, name: str, what: str, *example: str) -> argparse.ArgumentParser:
        lines = " \\\n        ".join(example)
        parser = self.commands.add_parser(
            name,
            help=what,
            description=what,
            epilog=f"example:\n    {lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=getattr(commands, name))
        return parser


def _data(add: Adder) -> None:
    to = add("data", "Prints the counts of a data set and checks MURA's.", "python -m train data MURA-v1.1")
    to.add_argument("data", type=Path, help="MURA v1.1 tree, folder with labels.csv, or DICOM folder with truth.csv")
    to.add_argument("--partial", action="store_true", help="a part of MURA is no error")


def _fit(add: Adder) -> None:
    to = add(
        "fit",
        "Trains by a recipe; the same command again continues a run that was stopped.",
        "python -m train fit train/recipes/reference.toml --data FRACATLAS --out runs/reference",
    )
    to.add_argument("recipe", type=Path, help="a TOML of train/recipes, or your own")
    _needs_training(to)


def _ablate(add: Adder) -> None:
    to = add(
        "ablate",
        "Trains a recipe as it is and without each of its choices, and tells what each is worth; val is not touched.",
        "python -m train ablate train/ablations/choices.toml --data FRACATLAS --out runs/ablation",
    )
    to.add_argument("ablation", type=Path, help="a TOML of train/ablations, or your own")
    _needs_training(to)


def _evaluate(add: Adder) -> None:
    to = add(
        "evaluate",
        "Figures of a model by study and by picture, as HTML and JSON.",
        "python -m train evaluate engines/reference --data FRACATLAS --out runs/evaluation",
    )
    _needs_model(to, nargs="+")
    _needs_data(to)
    to.add_argument("--out", type=Path, required=True, help="folder for evaluation.html and evaluation.json")
    to.add_argument("--split", default="val", help="default: %(default)s")


def _predict(add: Adder) -> None:
    to = add(
        "predict",
        "Writes the MURA competition's predictions.csv, a row a study.",
        "python -m train predict engines/mura MURA-v1.1/valid_image_paths.csv predictions.csv",
    )
    _needs_model(to, nargs=1)
    to.add_argument("listed", type=Path, help="CSV with a picture path a line")
    to.add_argument("written", type=Path, help="CSV to write: study path, 0 or 1")
    to.add_argument("--root", type=Path, default=Path(), help="what the paths are relative to (default: here)")


def _calibrate(add: Adder) -> None:
    to = add(
        "calibrate",
        "Prints the temperature and the threshold that export would choose on val.",
        "python -m train calibrate runs/paper/best-e004.pt --data MURA-v1.1",
    )
    _needs_checkpoints(to)
    _needs_data(to)
    _needs_device(to)
    to.add_argument("--size", type=int, help="input size in pixels (default: the last that it was trained at)")


def _export(add: Adder) -> None:
    to = add(
        "export",
        "Turns checkpoints into a model folder: calibrated, in half precision, checked against float32.",
        "python -m train export runs/reference/final.pt --data FRACATLAS",
        "--card train/cards/fracatlas.toml --out engines/reference",
    )
    _needs_checkpoints(to)
    _needs_data(to)
    _needs_folder(to)


def _ensemble(add: Adder) -> None:
    to = add(
        "ensemble",
        "Exports the checkpoints of lowest validation loss as one network.",
        "python -m train ensemble runs/paper --count 5 --data MURA-v1.1",
        "--card train/cards/mura.toml --out engines/mura",
    )
    to.add_argument("runs", nargs="+", type=Path, help="folders of `fit`")
    to.add_argument("--count", type=int, default=5, help="members (default: %(default)s, as in the MURA paper)")
    _needs_data(to)
    _needs_folder(to)


def _reopen(add: Adder) -> None:
    to = add(
        "reopen",
        "Turns a model folder back into a checkpoint, to train it further: --init of `fit`.",
        "python -m train reopen engines/reference --data OURS --out runs/start.pt",
    )
    to.add_argument("model", type=Path, help="a model folder of one network")
    _needs_data(to)
    to.add_argument("--out", type=Path, required=True, help="the checkpoint")


def _quantize(add: Adder) -> None:
    to = add(
        "quantize",
        "Lets a processor score a model folder in 8-bit integers, checked against float32 on val.",
        "python -m train quantize engines/reference --data FRACATLAS",
    )
    to.add_argument("model", type=Path, help="a model folder; int8.npz and its figures are added")
    _needs_data(to)


def _reference(add: Adder) -> None:
    to = add(
        "reference",
        "Draws reference inputs for a model folder anew, as export does, by the folder's own network.",
        "python -m train reference engines/reference",
    )
    to.add_argument("model", type=Path, help="a model folder; its reference_inputs.npz and their figures change")


def _bench(add: Adder) -> None:
    to = add(
        "bench",
        "Measures the loader and the training step, float32 eager beside the tuned way.",
        "python -m train bench --size 320 --batch 32 --workers 8",
    )
    _needs_device(to)
    to.add_argument("--size", type=int, default=320, help="default: %(default)s")
    to.add_argument("--batch", type=int, default=16, help="default: %(default)s")
    to.add_argument("--steps", type=int, default=10, help="timed steps (default: %(default)s)")
    to.add_argument("--workers", type=int, default=0, help="loader processes (default: %(default)s)")


def _needs_training(to: argparse.ArgumentParser) -> None:
    _needs_data(to)
    to.add_argument("--out", type=Path, required=True, help="the run's folder: checkpoints, curves")
    to.add_argument("--init", type=Path, help="weights to start from: torchvision's densenet169 or a checkpoint")
    _needs_device(to)
    to.add_argument("--workers", type=int, default=0, help="loader processes (default: %(default)s, in this one)")
    to.add_argument("--save-every", type=int, default=0, metavar="STEPS", help="checkpoint also within epochs")
    to.add_argument("--compile", action="store_true", help="torch.compile the network; pays on a GPU")


def _needs_data(to: argparse.ArgumentParser) -> None:
    to.add_argument("--data", type=Path, required=True, help="MURA v1.1 tree, labels.csv folder or DICOM folder")
    to.add_argument("--cache", type=Path, default=CACHE, help="where decoded pictures are kept (default: %(default)s)")


def _needs_device(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--device",
        choices=("auto", "cuda", "cpu"),
        default="auto",
        help="default: a GPU where torch sees one, else cpu",
    )


def _needs_model(to: argparse.ArgumentParser, nargs: str | int) -> None:
    to.add_argument("model", nargs=nargs, type=Path, help="a model folder, or checkpoints of `fit`")
    _needs_device(to)
    to.add_argument("--size", type=int, help="input size of checkpoints (default: the last that they were trained at)")
    to.add_argument("--threshold", type=float, help="abnormal above it (default: the card's; 0.5 for checkpoints)")
    to.add_argument("--flips", action="store_true", help="score each picture and its mirror image, and average")


def _needs_checkpoints(to: argparse.ArgumentParser) -> None:
    to.add_argument("checkpoints", nargs="+", type=Path, help="one checkpoint, or the members of an ensemble")


def _needs_folder(to: argparse.ArgumentParser) -> None:
    to.add_argument("--out", type=Path, required=True, help="the model folder; replaced if it is there")
    to.add_argument("--card", type=Path, required=True, help="TOML with licence, attribution and limits of the data")
    to.add_argument("--name", help="name of the model (default: the folder's)")
    to.add_argument("--version", default="1", help="version of the model (default: %(default)s)")
    to.add_argument("--size", type=int, help="input size in pixels (default: the last that it was trained at)")
    to.add_argument("--log", type=Path, help="the run's epochs, for the card (default: epochs.csv of each run)")
    to.add_argument("--made-by", default="", help="the command that trained it (default: what it recorded)")


if __name__ == "__main__":
    sys.exit(main())
