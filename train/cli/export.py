"""`python -m train export`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from train.cli.options import (
    Commands,
    add_checkpoints,
    add_data,
    add_model_folder,
    print_note,
    print_result,
)
from train.data.examples import TRAIN, VAL
from train.data.open_dataset import open_dataset


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "export",
        "Turns checkpoints into a model folder: calibrated, in half precision, checked against float32.",
        "python -m train export runs/reference/final.pt --data FRACATLAS",
        "--card train/cards/fracatlas.toml --out engines/reference",
    )
    add_checkpoints(parser)
    add_data(parser)
    add_model_folder(parser)


def run(options: Namespace) -> None:
    export_checkpoints(options.checkpoints, [path.parent for path in options.checkpoints], options)


def export_checkpoints(checkpoints: Sequence[Path], runs: Sequence[Path], options: Namespace) -> None:
    """runs: the folders whose looks at val chose the checkpoints. options: those of add_data and add_model_folder."""
    from train.data.input_cache import evenly_spaced, model_inputs
    from train.deliver.card_text import read_card_text
    from train.deliver.ensemble import joint_log
    from train.deliver.export import Inputs, Wanted, export
    from train.deliver.feature_statistics import ENOUGH
    from train.models.members import input_spec, read_member

    text, dataset = read_card_text(options.card), open_dataset(options.data)
    members = [read_member(path) for path in checkpoints]
    spec = input_spec(members, options.size)
    print_note("Exporting on the CPU (where half precision is written out and compared with float32)")
    training = evenly_spaced(model_inputs(dataset, TRAIN, spec, options.cache), ENOUGH)
    inputs = Inputs(val=model_inputs(dataset, VAL, spec, options.cache), training=training)
    with TemporaryDirectory() as scratch:
        wanted = Wanted(
            out=options.out,
            name=options.name or options.out.resolve().name,
            version=options.version,
            text=text,
            input=spec,
            command=options.made_by,
            log=options.log or joint_log(runs, Path(scratch) / "epochs.jsonl"),
        )
        card = export(members, dataset, inputs, wanted)
    print_result(f"{options.out}: AUROC {card.figures['auroc']['value']}, kappa {card.figures['kappa']['value']}")
