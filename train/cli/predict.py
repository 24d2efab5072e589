"""`python -m train predict`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.options import Commands, add_model, print_note, print_result


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "predict",
        "Writes the MURA competition's predictions.csv, a row a study.",
        "python -m train predict engines/mura MURA-v1.1/valid_image_paths.csv predictions.csv",
    )
    add_model(parser, nargs=1)
    parser.add_argument("listed", type=Path, help="CSV with a picture path a line")
    parser.add_argument("written", type=Path, help="CSV to write: study path, 0 or 1")
    parser.add_argument(
        "--root", type=Path, default=Path(), help="the MURA-v1.1 folder, or the one that holds it (default: this one)"
    )


def run(options: Namespace) -> None:
    from train.measure.competition import predict
    from train.measure.predictor import open_predictor

    predictor = open_predictor(options.model, options.size, options.threshold, options.device)
    print_note(f"Scoring {predictor.device}")
    count = predict(predictor, options.listed, options.written, options.root, options.flips)
    print_result(f"{count} studies in {options.written}")
