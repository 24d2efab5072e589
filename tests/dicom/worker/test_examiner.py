"""Questions about single files, answered by a worker process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.byte_sources import MemoryBytes
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.header.second_reading import rewritten
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.dicom.worker.examiner import Examiner
from mura_batch.records import Instance, Reason, Skipped, SourceFile

POLICY = IntakePolicy(settle_seconds=0)
Write = Callable[..., Path]


def source_of(path: Path, root: Path) -> SourceFile:
    (found,) = [item for item in discover(root, POLICY) if isinstance(item, SourceFile) and root / item.path == path]
    return found


@pytest.mark.parametrize("syntax", [*sorted(syntaxes.NATIVE), syntaxes.JPEG_LS_LOSSLESS])
def test_a_header_that_pydicom_read_is_judged_as_our_own(
    write: Write, header: Callable[..., Instance | Skipped], studies: Path, limb: np.ndarray, syntax: str
) -> None:
    path = write("a", stored=limb << 4, syntax=syntax, BitsStored=16, HighBit=15, StudyDescription="XR HAND R")
    own = header(path)
    assert isinstance(own, Instance)
    again = rewritten(path.read_bytes())
    path.write_bytes(again)
    found = header(path)
    assert isinstance(found, Instance), found
    assert (found.study_uid, found.region, found.laterality) == (own.study_uid, own.region, own.laterality)
    assert (found.rows, found.bits_stored, found.flags) == (own.rows, own.bits_stored, own.flags)


def damaged(path: Path) -> Path:
    """A length that reaches beyond the file, before anything else is known."""
    data = path.read_bytes()
    at = data.index(b"\x08\0\x08\0CS")
    path.write_bytes(data[: at + 6] + b"\xf0\xff" + data[at + 8 :])
    return path


def test_what_the_second_reader_reads_is_scored_and_flagged(write: Write, studies: Path) -> None:
    whole = MemoryBytes(rewritten(write("whole").read_bytes()))
    path = damaged(write("a"))
    asked: list[SourceFile] = []

    def second(source: SourceFile) -> MemoryBytes:
        asked.append(source)
        return whole

    source = source_of(path, studies)
    assert isinstance(read_header(studies, source, POLICY), Skipped)
    found = read_header(studies, source, POLICY, second)
    assert isinstance(found, Instance), found
    assert asked == [source]
    assert any("read by pydicom" in flag for flag in found.flags)


def test_a_file_that_pydicom_cannot_read_either_keeps_our_reason(write: Write, studies: Path) -> None:
    source = source_of(damaged(write("a")), studies)
    with Examiner(studies, POLICY) as examiner:
        assert examiner.header(source) is None
        found = read_header(studies, source, POLICY, examiner.header)
    assert isinstance(found, Skipped)
    assert found.reason is Reason.DAMAGED_HEADER
    with pytest.raises(Refused):
        rewritten((studies / "a").read_bytes())


def test_a_header_beyond_the_bounds_is_not_given_to_pydicom(write: Write, studies: Path) -> None:
    path = write("a")
    data = path.read_bytes()
    at = data.index(b"\xe0\x7f\x10\0O")
    path.write_bytes(data[:at] + b"\x29\0\x10\x10LO\0\0" * 60_000 + data[at:])

    def second(_: SourceFile) -> MemoryBytes:
        raise AssertionError("asked")

    found = read_header(studies, source_of(path, studies), POLICY, second)
    assert isinstance(found, Skipped)
    assert found.reason is Reason.DAMAGED_HEADER
