"""One number for what a row says, kept beside it: a bit that the disk turned is an error, not another score.

CRC-32 notices every change of up to 32 bits in a row. Each row of a night is checked, so each function is one pass over
one text.
"""

from __future__ import annotations

import zlib


def record_checksum(path: bytes, study_uid: str, sop_uid: str, record: str) -> int:
    """Of a row of `files`; path as the file system spells it."""
    return zlib.crc32(f"{study_uid}\x1f{sop_uid}\x1f{record}".encode("utf-8", "surrogateescape"), zlib.crc32(path))


def score_checksum(content: str, model: str, settings: str, sop_uid: str, probability: float, decisions: str) -> int:
    """Of a row of `scores`; the probability as repr writes it, which reads back exactly."""
    text = f"{content}\x1f{model}\x1f{settings}\x1f{sop_uid}\x1f{probability!r}\x1f{decisions}"
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def failure_checksum(path: bytes, settings: str, reason: str, detail: str, stage: str) -> int:
    """Of a row of `failures`."""
    text = f"{settings}\x1f{reason}\x1f{detail}\x1f{stage}"
    return zlib.crc32(text.encode("utf-8", "surrogateescape"), zlib.crc32(path))


def truth_checksum(*values: str | float | None) -> int:
    """Of a row of `truth_lines`."""
    return zlib.crc32("\x1f".join(map(repr, values)).encode("utf-8", "surrogateescape"))
