"""`python -m train lr-find`."""

from __future__ import annotations

from argparse import Namespace

from train.cli.fit import add_changes, job_of, read_changed_recipe
from train.cli.options import Commands, add_training, print_note, print_result


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "lr-find",
        "Raises the learning rate from step to step, prints where the loss falls fastest, and writes the curve.",
        "python -m train lr-find guillou --data MURA-v1.1 --init densenet169-b2777c0a.pth --out runs/rates",
    )
    add_changes(parser)
    parser.add_argument("--stage", type=int, default=0, help="of the recipe, from 0 (default: %(default)s)")
    add_training(parser)


def run(options: Namespace) -> None:
    from mura_batch.atomic_files import make_folder, write_atomic
    from mura_batch.errors import InputError
    from train.fit.lr_find import find_rate

    recipe, given = read_changed_recipe(options)
    if not 0 <= options.stage < len(recipe.stages):
        raise InputError(f"--stage {options.stage}: recipe {recipe.name} has stages 0 to {len(recipe.stages) - 1}")
    curve = find_rate(job_of(options, recipe, f"lr-find {options.recipe}{given}"), options.stage)
    rows = (f"{rate!r},{loss!r}\n" for rate, loss in zip(curve.rates, curve.losses, strict=True))
    make_folder(options.out)
    write_atomic(options.out / "lr_find.csv", "".join(["lr,loss\n", *rows]).encode())
    print_result(f"{curve.suggestion:.3g}")
    print_note(f"the loss falls fastest there; the curve of {len(curve.rates)} steps: {options.out / 'lr_find.csv'}")
