"""What a run writes while it goes on: steps.csv, epochs.csv and TensorBoard's events.

The CSV files hold whole rows only up to the last checkpoint when a run is resumed, so a run that was killed and resumed
leaves the same steps.csv, byte for byte, as one that was not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mura_batch.atomic_files import make_folder, output_errors, write_atomic

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
        self.events = Events(folder / "tensorboard", steps)

    def steps(self, rows: Sequence[tuple[int, int, float, float, float]]) -> None:
        _append(self.folder / STEPS, rows)
        for step, _, loss, aux, lr in rows:
            self.events.add([("train/loss", loss), ("train/aux", aux), ("train/lr", lr)], step)
        self.events.flush()

    def epoch(self, row: Mapping[str, Any], step: int) -> None:
        _append(self.folder / EPOCHS, [[row.get(name, "") for name in EPOCH_COLUMNS]])
        self.events.add([(f"val/{name[4:]}", value) for name, value in row.items() if name.startswith("val_")], step)
        self.events.flush()

    def close(self) -> None:
        self.events.close()


class Events:
    """TensorBoard's event file of one part of a run. It is written at once: tensorboard's own writer does it in a
    thread, where a full disk ends in a traceback, or in silence at the end of the run. Raises OutputError."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: where this part begins; TensorBoard hides what an earlier part wrote from there on."""
        from tensorboard.compat.proto.event_pb2 import SessionLog  # type: ignore[import-untyped]  # it has no types
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        # TensorBoard looks for "tfevents" and reads a folder's files in the order of their names
        self.path = folder / f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}"
        with output_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("xb")
        self.records = RecordWriter(self.file)
        # both stay in the file's buffer until the first flush; only version 2 knows a start that hides
        self._write(step=step, file_version="brain.Event:2")
        self._write(step=step, session_log=SessionLog(status=SessionLog.START))

    def add(self, points: Iterable[tuple[str, float]], step: int) -> None:
        """points: (name, value)."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        values = [Summary.Value(tag=name, simple_value=value) for name, value in points]
        with output_errors(self.path):
            self._write(step=step, summary=Summary(value=values))

    def flush(self) -> None:
        with output_errors(self.path):
            self.file.flush()

    def close(self) -> None:
        with output_errors(self.path):
            self.file.close()

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.records.write(Event(wall_time=time.time(), **fields).SerializeToString())


def _keep(path: Path, columns: Sequence[str], rows: int) -> None:
    """Cuts a CSV to its header and its first rows; a kill meanwhile leaves it as it was."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1 : rows + 1] if path.is_file() else []
    make_folder(path.parent)
    write_atomic(path, "".join([",".join(columns) + "\n", *lines]).encode())


def _append(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with output_errors(path), path.open("a", encoding="utf-8", newline="") as file:
        file.writelines(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)  # repr: every bit of a float
