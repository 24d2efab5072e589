"""Copies of one instance: what is the same, and what is not."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.radiograph import CR, Code, ObjectHeader, Radiograph, StudyHeader, Window, write_radiograph
from mura_batch.progress import Silent
from mura_batch.records import Laterality, Reason
from mura_batch.scoring.intake import scan, settle_identity
from mura_batch.scoring.storage import Folder
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger

POLICY, KEY = IntakePolicy(settle_seconds=0), Key("model", "settings")
PICTURE = np.random.default_rng(3).integers(0, 4096, (90, 70)).astype(np.uint16)


def image(
    path: Path, syntax: str = syntaxes.EXPLICIT_LE, picture: np.ndarray = PICTURE, description: str = "HAND"
) -> Path:
    study = StudyHeader("P1", "TEST^COPY", "", "", "2.25.7", "1", "20240101", "120000", "A1", description)
    radiograph = Radiograph(
        ObjectHeader(study, "2.25.7.1", 1, "2.25.7.1.1", 1), CR, "HAND", Code("85562004", "SCT", "Hand"),
        Laterality.LEFT, "PA", None, 0.15, windows=(Window(2048, 4096),),
    )  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    write_radiograph(path, radiograph, picture, syntax)
    return path


def fates(root: Path, tmp_path: Path) -> dict[str, Reason]:
    """What a run over root decides of its files, with the ledger of the runs before."""
    with Ledger(tmp_path / "l") as ledger:
        ledger.runs.begin("one", root)
        scan(Folder(root), POLICY, ledger.files, Silent())
        settle_identity(Folder(root), POLICY, ledger)
        return {skip.source.path: skip.reason for skip in ledger.files.skipped_before_decoding()}


def test_another_file_meta_makes_no_other_instance(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a")
    other = dcmread(image(tmp_path / "s" / "b"))
    other.file_meta.ImplementationVersionName = "GATEWAY_2"
    other.file_meta.SourceApplicationEntityTitle = "ARCHIVE"
    other.save_as(tmp_path / "s" / "b", enforce_file_format=True)
    assert fates(tmp_path / "s", tmp_path) == {"b": Reason.DUPLICATE}


@pytest.mark.parametrize(
    "syntax", [syntaxes.IMPLICIT_LE, syntaxes.JPEG_2000_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1, syntaxes.RLE]
)
def test_the_same_pixels_in_another_lossless_syntax_are_a_copy(tmp_path: Path, syntax: str) -> None:
    image(tmp_path / "s" / "a")
    image(tmp_path / "s" / "b", syntax)
    assert fates(tmp_path / "s", tmp_path) == {"b": Reason.DUPLICATE}


def test_other_pixels_under_one_uid_are_a_conflict(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a")
    changed = PICTURE.copy()
    changed[40:50, 30:40] ^= 0x800
    image(tmp_path / "s" / "b", syntaxes.RLE, changed)
    assert fates(tmp_path / "s", tmp_path) == dict.fromkeys("ab", Reason.CONFLICTING_DUPLICATE)


IN_OPEN, IN_ISDIR = 0x20, 0x40000000  # inotify(7)


@contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """The names of the files in the folder that any process opens meanwhile."""
    libc, names = ctypes.CDLL(None), set[str]()
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(folder), IN_OPEN) > 0
        yield names
        events = b""
        with suppress(BlockingIOError):
            events = os.read(watch, 1 << 16)
        while events:
            _, mask, _, size = struct.unpack_from("iIII", events)
            if not mask & IN_ISDIR:
                names.add(events[16 : 16 + size].rstrip(b"\0").decode())
            events = events[16 + size :]
    finally:
        os.close(watch)


@pytest.mark.parametrize("changed", [0, 0x800])
def test_the_next_run_opens_no_copy_again(tmp_path: Path, changed: int) -> None:
    image(tmp_path / "s" / "a")
    image(tmp_path / "s" / "b", syntaxes.RLE, PICTURE ^ changed)
    with opened_in(tmp_path / "s") as first:
        before = fates(tmp_path / "s", tmp_path)
    with opened_in(tmp_path / "s") as second:
        assert fates(tmp_path / "s", tmp_path) == before
    assert (first, second) == ({"a", "b"}, set())


def test_a_copy_that_changes_is_compared_again(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a")
    image(tmp_path / "s" / "b", syntaxes.RLE, PICTURE ^ 0x800)
    assert fates(tmp_path / "s", tmp_path) == dict.fromkeys("ab", Reason.CONFLICTING_DUPLICATE)
    image(tmp_path / "s" / "b", syntaxes.RLE)
    with opened_in(tmp_path / "s") as opened:
        assert fates(tmp_path / "s", tmp_path) == {"b": Reason.DUPLICATE}
    assert opened == {"b"}


def test_a_copy_whose_pixels_cannot_be_read_is_tried_once(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a")
    data = image(tmp_path / "s" / "b", syntaxes.JPEG_2000_LOSSLESS).read_bytes()
    (tmp_path / "s" / "b").write_bytes(data[:-600] + bytes(590) + data[-10:])
    before = fates(tmp_path / "s", tmp_path)
    with opened_in(tmp_path / "s") as opened:
        assert fates(tmp_path / "s", tmp_path) == before == dict.fromkeys("ab", Reason.CONFLICTING_DUPLICATE)
    assert opened == set()
