"""`python -m train fit`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from train.cli.options import Commands, add_training, print_result
from train.data.open_dataset import open_dataset

if TYPE_CHECKING:
    from train.fit.loop import Job
    from train.fit.recipe import Recipe


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "fit",
        "Trains by a recipe; the same command again continues a run that was stopped.",
        "python -m train fit train/recipes/reference.toml --data FRACATLAS --out runs/reference",
    )
    parser.add_argument("recipe", type=Path, help="a TOML of train/recipes, or your own")
    add_training(parser)


def run(options: Namespace) -> None:
    from train.fit.loop import fit
    from train.fit.recipe import read_recipe

    print_result(f"{fit(job_of(options, read_recipe(options.recipe), f'fit {options.recipe}'))}")


def job_of(options: Namespace, recipe: Recipe, command: str) -> Job:
    """command: the first words of the command line that the run records."""
    from train.fit.loop import Job
    from train.fit.processes import pick_device

    init = f" --init {options.init.name}" if options.init else ""
    # folders by their last name only: the card that carries this line travels
    folders = f"--data {options.data.resolve().name} --out {options.out.name}"
    return Job(
        recipe=recipe,
        dataset=open_dataset(options.data),
        out=options.out,
        cache=options.cache,
        # the device that was used: 'auto' may be another one elsewhere
        command=f"python -m train {command} {folders}{init} --device {pick_device(options.device).type}",
        init=options.init,
        device=options.device,
        workers=options.workers,
        save_every=options.save_every,
        compiled=options.compile,
    )
