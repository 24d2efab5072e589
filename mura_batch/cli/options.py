"""What the commands share: option types, MURA_BATCH_* variables, examples in the help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mura_batch.agreement.truth import Truth

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


def say(line: str) -> None:
    """To standard error: standard output is for results."""
    click.echo(line, err=True)


def option(*names: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A Click option that MURA_BATCH_<NAME> may set and whose default its help shows."""
    long = max(names, key=len).removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=f"MURA_BATCH_{long}", show_default=how.pop("show_default", True), **how)


def example(*lines: str) -> str:
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


def read_truth_option(path: Path | None) -> Truth | None:
    if path is None:
        return None
    from mura_batch.agreement.truth import read_truth

    return read_truth(path)


def reference_model() -> Path:
    from mura_batch.resources import engines_folder

    return engines_folder() / "reference"
