"""The walk over folders of a server that answers late: many calls in flight, one order."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from mura_batch.dicom import folder_walk
from mura_batch.dicom.discover import discover
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.records import Reason, Skipped, SourceFile

POLICY = IntakePolicy(settle_seconds=0)
WAIT = 0.005  # seconds of a call


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of 300 files, and 40 folders of three with one below each."""
    root = tmp_path / "studies"
    for n in range(300):
        write(root / "many" / f"{n:03d}")
    for n in range(40):
        for name in ("a", "b", "c/d"):
            write(root / f"{n:02d}" / name)
    return root


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


@pytest.fixture
def most_in_flight(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Each stat of the walk waits, as for a server. Holds how many waited at once."""
    found, waiting, lock, answer = [0], [0], threading.Lock(), folder_walk._stat

    def late(folder: int, name: str) -> os.stat_result | OSError:
        with lock:
            waiting[0] += 1
            found[0] = max(found[0], waiting[0])
        time.sleep(WAIT)
        with lock:
            waiting[0] -= 1
        return answer(folder, name)

    monkeypatch.setattr(folder_walk, "_stat", late)
    return found


def test_a_slow_server_gives_the_same_files(tree: Path, most_in_flight: list[int]) -> None:
    slow = list(discover(tree, POLICY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_walk, "SLOW", float("inf"))
        one_by_one = list(discover(tree, POLICY))
    assert slow == one_by_one
    assert len(slow) == 420
    assert [s.path for s in slow if isinstance(s, SourceFile)] == sorted(
        s.path for s in slow if isinstance(s, SourceFile)
    )


def test_a_slow_server_is_asked_many_things_at_once(tree: Path, most_in_flight: list[int]) -> None:
    list(discover(tree, POLICY))
    assert 8 < most_in_flight[0] <= folder_walk.IN_FLIGHT + 1  # and one of the walk itself


def test_a_local_disk_is_asked_one_thing_at_a_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a thread for a call that takes microseconds")

    monkeypatch.setattr(folder_walk, "SLOW", 1.0)  # whatever else runs here
    monkeypatch.setattr(folder_walk, "ThreadPoolExecutor", never)
    assert len(list(discover(tree, POLICY))) == 420


@pytest.mark.usefixtures("most_in_flight")
def test_a_file_that_goes_away_meanwhile_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_walk, "IN_FLIGHT", 16)  # so that the last folder is not looked at yet
    found = discover(tree, POLICY)
    first = next(found)
    (tree / "many").rename(tree.parent / "away")
    reasons = {item.source.path: item.reason for item in found if isinstance(item, Skipped)}
    assert isinstance(first, SourceFile)
    assert reasons == {"many": Reason.UNREADABLE_FOLDER}


@pytest.mark.usefixtures("most_in_flight")
def test_a_walk_that_is_left_ends_its_threads(tree: Path) -> None:
    found = discover(tree, POLICY)
    for _ in range(5):
        next(found)
    found.close()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("stat") for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stat")]
