"""`python -m train fit`."""

from __future__ import annotations

import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mura_batch.errors import InputError
from train.cli.options import Commands, add_training, print_result
from train.data.folds import one_fold
from train.data.open_dataset import open_dataset

if TYPE_CHECKING:
    from train.fit.job import Job
    from train.fit.recipe import Recipe


def add(commands: Commands) -> None:
    parser = commands.add(
        run,
        "fit",
        "Trains by a recipe; the same command again continues a run that was stopped.",
        "python -m train fit train/recipes/reference.toml --data FRACATLAS --out runs/reference",
    )
    add_changes(parser)
    parser.add_argument(
        "--fold", metavar="K/N", help="train on the other N - 1 folds of the training split; val is fold K"
    )
    add_training(parser)


def add_changes(parser: ArgumentParser) -> None:
    """The recipe and what changes in it."""
    parser.add_argument("recipe", type=Path, help="a recipe of train/recipes by its name, or a TOML of your own")
    add_set(parser)
    parser.add_argument("--seed", type=int, help="short for --set seed=N")
    parser.add_argument("--epochs", type=int, help="of the recipe's last stage")


def add_set(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key of the recipe: --set optimizer.clip=1.0 --set stages.0.lr=1e-4",
    )


def run(options: Namespace) -> None:
    from train.fit.loop import fit

    recipe, given = read_changed_recipe(options)
    given += f" --fold {options.fold}" if options.fold else ""
    job = job_of(options, recipe, f"fit {options.recipe}{given}")
    if options.fold:
        job = replace(job, dataset=one_fold(job.dataset, *_fold(options.fold)))
    print_result(f"{fit(job)}")


def read_changed_recipe(options: Namespace) -> tuple[Recipe, str]:
    """The recipe with the changes of add_changes, and these in words."""
    from train.fit.recipe import read_recipe

    changes = set_changes(options)
    if options.seed is not None:
        changes["seed"] = options.seed
    if options.epochs is not None:
        changes["stages.-1.epochs"] = options.epochs
    return read_recipe(options.recipe, changes), set_words(changes)


def set_words(changes: Mapping[str, Any]) -> str:
    """As the recorded command has them."""
    return "".join(f" --set {key}={value}" for key, value in changes.items())


def _fold(text: str) -> tuple[int, int]:
    """'2/5' -> (2, 5). Raises InputError."""
    fold, _, folds = text.partition("/")
    if not (fold.isdigit() and folds.isdigit()):
        raise InputError(f"--fold {text}: give K/N, as in --fold 1/5")
    return int(fold), int(folds)


def set_changes(options: Namespace) -> dict[str, Any]:
    """Those of --set. Raises InputError on a change without a value."""
    changes: dict[str, Any] = {}
    for change in options.changes:
        key, separator, value = change.partition("=")
        if not (key and separator):
            raise InputError(f"--set {change}: give KEY=VALUE, as in --set optimizer.clip=1.0")
        changes[key.strip()] = _toml_value(value.strip())
    return changes


def _toml_value(text: str) -> Any:
    """As a recipe would read it; a word without quotes is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def job_of(options: Namespace, recipe: Recipe, command: str) -> Job:
    """command: the first words of the command line that the run records."""
    from train.fit.job import Job
    from train.fit.processes import pick_device

    init = f" --init {options.init.name}" if options.init else ""
    teacher = f" --teacher {' '.join(path.name for path in options.teacher)}" if options.teacher else ""
    # folders by their last name only: the card that carries this line travels
    folders = f"--data {options.data.resolve().name} --out {options.out.name}"
    return Job(
        recipe=recipe,
        dataset=open_dataset(options.data),
        out=options.out,
        cache=options.cache,
        # the device that was used: 'auto' may be another one elsewhere
        command=f"python -m train {command} {folders}{init}{teacher} --device {pick_device(options.device).type}",
        init=options.init,
        teacher=tuple(options.teacher),
        device=options.device,
        workers=options.workers,
        save_every=options.save_every,
        compiled=options.compile,
    )
