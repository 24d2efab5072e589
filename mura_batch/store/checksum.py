"""One number for what a row says, kept beside it: a bit that the disk turned is an error, not another score.

CRC-32 notices every change of up to 32 bits in a row. Each row of a night is checked, so each function is one pass over
one text.
"""

from __future__ import annotations

import zlib


def record_checksum(path: bytes, study_uid: str, sop_uid: str, record: str) -> int:
    """Of a row of `files`; path as the file system spells it."""
    return zlib.crc32(f"{study_uid}\x1f{sop_uid}\x1f{record}".encode("utf-8", "surrogateescape"), zlib.crc32(path))


def score_checksum(*says: str | float | None) -> int:
    """Of a row of `scores`: content hash, model, settings, SOP Instance UID, probability, decisions, distance. Numbers
    as repr writes them, which reads back exactly. A distance that is not there does not count: older rows have none."""
    content, model, settings, sop_uid, probability, decisions, *distance = says
    text = f"{content}\x1f{model}\x1f{settings}\x1f{sop_uid}\x1f{probability!r}\x1f{decisions}"
    text += "".join(f"\x1f{known!r}" for known in distance if known is not None)
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def failure_checksum(path: bytes, settings: str, reason: str, detail: str, stage: str) -> int:
    """Of a row of `failures`."""
    text = f"{settings}\x1f{reason}\x1f{detail}\x1f{stage}"
    return zlib.crc32(text.encode("utf-8", "surrogateescape"), zlib.crc32(path))


def truth_checksum(*values: str | float | None) -> int:
    """Of a row of `truth_lines`."""
    return zlib.crc32("\x1f".join(map(repr, values)).encode("utf-8", "surrogateescape"))
