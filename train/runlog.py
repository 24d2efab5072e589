"""What a run writes while it goes on: steps.csv, epochs.csv and TensorBoard's events.

The CSV files hold whole rows only up to the last checkpoint when a run is resumed, so a run that was killed and resumed
leaves the same steps.csv, byte for byte, as one that was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mura_batch.errors import OutputError

STEPS, EPOCHS = "steps.csv", "epochs.csv"
STEP_COLUMNS = ("step", "epoch", "loss", "aux", "lr")
EPOCH_COLUMNS = (
    "epoch", "stage", "size", "loss", "aux", "lr", "sec", "at",
    "val_loss", "val_auroc", "val_kappa", "val_picture_kappa",
)  # fmt: skip


class RunLog:
    """Appends to a run folder. Every failure to write is an OutputError that names the file."""

    def __init__(self, folder: Path, steps: int, epochs: int) -> None:
        """steps, epochs: how many rows of an earlier part of the run are kept."""
        self.folder = folder
        _keep(folder / STEPS, STEP_COLUMNS, steps)
        _keep(folder / EPOCHS, EPOCH_COLUMNS, epochs)
        self.events = _events(folder, steps)

    def steps(self, rows: Sequence[tuple[int, int, float, float, float]]) -> None:
        _append(self.folder / STEPS, rows)
        for step, _, loss, aux, lr in rows:
            for name, value in (("loss", loss), ("aux", aux), ("lr", lr)):
                self.events.add_scalar(f"train/{name}", value, step)

    def epoch(self, row: Mapping[str, Any], step: int) -> None:
        _append(self.folder / EPOCHS, [[row.get(name, "") for name in EPOCH_COLUMNS]])
        for name, value in row.items():
            if name.startswith("val_"):
                self.events.add_scalar(f"val/{name[4:]}", value, step)
        self.events.flush()

    def close(self) -> None:
        self.events.close()


def _events(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder / "tensorboard", purge_step=step or None)


def _keep(path: Path, columns: Sequence[str], rows: int) -> None:
    """Cuts a CSV to its header and its first rows."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1 : rows + 1] if path.is_file() else []
    _write(path, "w", [",".join(columns) + "\n", *lines])


def _append(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    _write(path, "a", [",".join(map(_cell, row)) + "\n" for row in rows])


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)  # repr: every bit of a float


def _write(path: Path, mode: str, lines: Iterable[str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}; free some space and run the same command again"
        ) from error
