"""What makes two files the same instance: their data sets. The File Meta Information (group 0002) is the writer's, not
the instance's (PS3.10 7.1)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mura_batch.dicom.header.byte_sources import FileBytes
from mura_batch.dicom.header.parse import data_set_start
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.refused import Refused
from mura_batch.records import SourceFile

_STEP = 1 << 20  # bytes at once


def hash_data_set(root: Path, source: SourceFile, policy: IntakePolicy) -> str | None:
    """SHA-256 in hex of what follows the File Meta Information; None where the file cannot be read."""
    try:
        file = FileBytes(os.path.join(root, source.path))
        try:
            digest = hashlib.sha256()
            for at in range(data_set_start(file, policy), file.size, _STEP):
                digest.update(file.read(at, _STEP))
            return f"data set {digest.hexdigest()}"
        finally:
            file.close()
    except Refused:
        return None
