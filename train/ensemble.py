"""Which checkpoints of which runs make an ensemble: those of lowest validation loss (arXiv:1712.06957, section 3.1)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mura_batch.errors import InputError
from train.checkpoint import read_checkpoint
from train.state import LAST


def lowest_losses(runs: Sequence[Path], count: int) -> list[Path]:
    """`count` checkpoints kept by the runs, lowest validation loss first. Raises InputError when there are fewer, or
    when the runs validated by different losses."""
    rows = []
    for run in runs:
        values = read_checkpoint(run / LAST)
        weighting = json.loads(values["recipe"])["loss"]["weighting"]
        rows += [(float(row["loss"]), run / row["file"], weighting) for row in values["best"]["kept"]]
    if len({weighting for _, _, weighting in rows}) > 1:
        raise InputError("the runs weight their losses differently: their validation losses cannot be compared")
    if len(rows) < count:
        raise InputError(f"there are {len(rows)} kept checkpoints, {count} were asked for; raise `keep` in the recipe")
    return [path for _, path, _ in sorted(rows)[:count]]
