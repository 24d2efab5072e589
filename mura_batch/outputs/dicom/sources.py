"""The source files of a study row, as they are now: one may have gone or changed since it was scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mura_batch.model_card import sha256_of
from mura_batch.records import Instance, InstanceScore, Skipped

if TYPE_CHECKING:
    from mura_batch.dicom.write.result_source import ResultSource


@dataclass(frozen=True, slots=True)
class NoSource:
    """None of the files can be used. reason: source_missing, source_changed or source_unreadable."""

    reason: str


def sources_of(
    root: Path, study_uid: str, files: Sequence[InstanceScore | Skipped]
) -> tuple[ResultSource, ...] | NoSource:
    """One for each scored image: a file that has gone is stood in for by what the ledger knows of it and the patient
    and study of another file of the study. Skipped files that cannot be read are left out."""
    found = [_read(root, study_uid, file) for file in files]
    readable = [source for source in found if not isinstance(source, NoSource)]
    if not readable:
        reasons = [source.reason for source in found if isinstance(source, NoSource)]
        return NoSource(reasons[0] if reasons else "source_missing")
    sources = []
    for file, source in zip(files, found, strict=True):
        if not isinstance(source, NoSource):
            sources.append(source)
        elif isinstance(file, InstanceScore):
            if not file.instance.sop_class_uid:  # of an old run's table: a reference without its class is none
                return source
            sources.append(_stand_in(file.instance, readable[0], source.reason))
    return tuple(sources)


def _read(root: Path, study_uid: str, file: InstanceScore | Skipped) -> ResultSource | NoSource:
    from mura_batch.dicom.write.result_source import read_result_source

    source = file.source if isinstance(file, Skipped) else file.instance.source
    path = root / source.path
    try:
        if isinstance(file, InstanceScore) and not _is_same(path, file):
            return NoSource("source_changed")
        header = read_result_source(path)
    except FileNotFoundError:
        return NoSource("source_missing")
    except (OSError, ValueError):
        return NoSource("source_unreadable")
    expected = file.sop_instance_uid if isinstance(file, Skipped) else file.instance.sop_instance_uid
    if (header.study_uid, header.sop_instance_uid) != (study_uid, expected):
        return NoSource("source_changed")
    return header


def _is_same(path: Path, score: InstanceScore) -> bool:
    """By size and times, and where they differ by its content."""
    info, source = path.stat(), score.instance.source
    if (info.st_size, info.st_mtime_ns, info.st_ctime_ns) == (source.size, source.mtime_ns, source.ctime_ns):
        return True
    return sha256_of(path) == score.decoded.content_hash


def _stand_in(instance: Instance, other: ResultSource, reason: str) -> ResultSource:
    from mura_batch.dicom.write.result_source import known_source

    note = f"{reason}: one image is known by the ledger alone"
    return known_source(instance, other, note)
