"""Which checkpoints of which runs make an ensemble: those of lowest validation loss (arXiv:1712.06957, section 3.1)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mura_batch.errors import InputError
from train.fit.run_log import EPOCHS
from train.fit.state import LAST
from train.models.checkpoint import recipe_of
from train.models.members import trained_resize, trained_size
from train.models.weight_file import read_checkpoint

SAME = {
    "weights": "weight their losses differently: their validation losses cannot be compared",
    "data": "are of different data: their validation losses cannot be compared",
    "size": "end at different input sizes: one network takes one size",
    "resize": "fit pictures into the input differently: one network takes one way",
}


@dataclass(frozen=True, slots=True)
class Run:
    """A run by its last checkpoint. weights: of the loss's terms; data: the data set's hash; size: the last
    that it trains at. kept: (validation loss, checkpoint)."""

    folder: Path
    weights: tuple[str, float]
    data: str
    size: int | None
    resize: str
    kept: tuple[tuple[float, Path], ...]


def lowest_losses(folders: Sequence[Path], count: int) -> list[Path]:
    """`count` checkpoints kept by the runs, lowest validation loss first. Raises InputError when there are fewer, or
    when the runs differ in what their losses are of or in their input size."""
    runs = [_read(folder) for folder in folders]
    for key, difference in SAME.items():
        if other := [run for run in runs if getattr(run, key) != getattr(runs[0], key)]:
            raise InputError(f"{runs[0].folder} and {other[0].folder} {difference}; make an ensemble of each")
    rows = sorted(row for run in runs for row in run.kept)
    if len(rows) < count:
        raise InputError(f"there are {len(rows)} kept checkpoints, {count} were asked for; raise `keep` in the recipe")
    return [path for _, path in rows[:count]]


def _read(folder: Path) -> Run:
    values = read_checkpoint(folder / LAST)
    recipe = recipe_of(values)
    weighting, positive = recipe["loss"]["weighting"], recipe["loss"]["positive_weight"]
    return Run(
        folder=folder,
        weights=(weighting, positive if weighting == "positive" else 1.0),  # the others do not look at it
        data=values["data"],
        size=trained_size(recipe),
        resize=trained_resize(recipe),
        kept=tuple((float(row["loss"]), folder / row["file"]) for row in values["best"]["kept"]),
    )


def joint_log(folders: Sequence[Path], written: Path) -> Path | None:
    """The epochs of all these runs in one log: a run's own, or `written`. None where one of them has left none: a part
    would say that val was looked at less often than it was."""
    from train.deliver.export import read_log

    logs = [folder / EPOCHS for folder in dict.fromkeys(folders)]
    if not all(log.is_file() for log in logs):
        return None
    if len(logs) == 1:
        return logs[0]
    rows = [row for log in logs for row in read_log(log)]
    written.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return written
