"""What a run writes while it goes on: on a full disk, after a kill, and as TensorBoard reads it."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mura_batch.errors import OutputError
from train.fit.run_log import RunLog

Row = tuple[int, int, float, float, float]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A limit on the size of a file fails a write as a full disk does: part of it is written, then an error."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def taken(first: int, last: int) -> list[Row]:
    """Rows of steps, each epoch of ten."""
    return [(step, step // 10, 1 / (step + 1), 0.0, 1e-3) for step in range(first, last)]


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) in the order that TensorBoard draws them."""
    read = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(event.step, event.value) for event in read.Scalars(name)]


def test_tensorboard_shows_what_was_logged(tmp_path: Path) -> None:
    with closing(RunLog(tmp_path, 0, 0)) as log:
        log.steps(taken(0, 10))
        log.epoch({"epoch": 0, "loss": 0.3, "val_auroc": 0.75}, 10)
    assert curve(tmp_path, "train/loss") == [(step, pytest.approx(1 / (step + 1))) for step in range(10)]
    assert curve(tmp_path, "train/lr")[9] == (9, pytest.approx(1e-3))
    assert curve(tmp_path, "val/auroc") == [(10, 0.75)]


@pytest.mark.parametrize("checkpoint", [0, 15])
def test_steps_after_the_last_checkpoint_are_logged_once(tmp_path: Path, checkpoint: int) -> None:
    with closing(RunLog(tmp_path, 0, 0)) as log:
        log.steps(taken(0, 20))
    with closing(RunLog(tmp_path, checkpoint, 0)) as log:
        log.steps(taken(checkpoint, 30))
    assert [line.split(",")[0] for line in (tmp_path / "steps.csv").read_text().split()[1:]] == [*map(str, range(30))]
    assert [step for step, _ in curve(tmp_path, "train/loss")] == list(range(30))


def test_a_disk_that_fills_while_events_are_written_is_reported(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0, 0)
    # 10 rows are 300 bytes of steps.csv and more than 1000 of events
    with full_disk(600), pytest.raises(OutputError, match=r"tfevents.* cannot be written \(File too large\): free"):
        log.steps(taken(0, 10))
    with full_disk(600), pytest.raises(OutputError, match="tfevents"):
        log.close()  # what is still in memory is lost, and that is an error too


def test_an_events_file_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"tfevents.* cannot be written \(File exists\)"):
        RunLog(tmp_path, 0, 0)


def test_a_full_disk_on_resume_loses_no_logged_row(tmp_path: Path) -> None:
    with closing(RunLog(tmp_path, 0, 0)) as log:
        log.steps(taken(0, 20))
    before = (tmp_path / "steps.csv").read_bytes()
    with full_disk(100), pytest.raises(OutputError, match=r"steps\.csv cannot be written"):
        RunLog(tmp_path, 15, 1)
    assert (tmp_path / "steps.csv").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if "tmp" in p.name]
