"""`python -m train ablate`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from train.cli.fit import add_set, job_of, set_changes, set_words
from train.cli.options import Commands, add_training, print_result


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "ablate",
        "Trains a recipe as it is and without each of its choices, and prints what each is worth; val is not touched.",
        "python -m train ablate train/ablations/choices.toml --data FRACATLAS --out runs/ablation",
    )
    parser.add_argument("ablation", type=Path, help="a TOML of train/ablations, or your own")
    parser.add_argument(
        "--variants",
        type=int,
        nargs="+",
        metavar="N",
        help="only train these (0: unchanged), so that processes can share the work; the command without it scores all",
    )
    add_set(parser)
    add_training(parser)


def run(options: Namespace) -> None:
    """Prints a line for each variant as soon as it is scored, or trained where only some are asked for."""
    from train.fit.loop import fit
    from train.measure.ablate import ablate, read_ablation, variant_job

    changes = set_changes(options)
    ablation = read_ablation(options.ablation, changes)
    job = job_of(options, ablation.variants[0][1], f"ablate {options.ablation}{set_words(changes)}")
    if options.variants:
        for asked in [variant_job(ablation, job, number) for number in options.variants]:
            print_result(str(fit(asked)))
        return
    for worth in ablate(ablation, job):
        difference = worth.difference
        against = f"  {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]" if difference else ""
        auroc = worth.auroc
        print_result(f"{worth.name:<40} AUROC {auroc.value:.3f} [{auroc.low:.3f}, {auroc.high:.3f}]{against}")
