"""A grey picture as the DICOM files that archives hold: several transfer syntaxes, depths, polarities and windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.radiograph import CR, ObjectHeader, Radiograph, StudyHeader, Window, write_radiograph
from mura_batch.preprocess import InputSpec, preprocess
from mura_batch.records import Laterality

WAYS = (  # syntax, bits, photometric, window over the full range
    (syntaxes.EXPLICIT_LE, 8, "MONOCHROME2", False),
    (syntaxes.JPEG_2000_LOSSLESS, 8, "MONOCHROME1", False),
    (syntaxes.RLE, 8, "MONOCHROME2", True),
    (syntaxes.JPEG_LOSSLESS_SV1, 12, "MONOCHROME1", True),
    (syntaxes.IMPLICIT_LE, 16, "MONOCHROME2", True),
)


def write_as_dicom(path: Path, picture: NDArray[np.uint8], number: int) -> Path:
    """path, where picture [rows, columns], 0 = black, was written as the DICOM file number modulo WAYS."""
    syntax, bits, photometric, with_window = WAYS[number % len(WAYS)]
    top = 255 << (bits - 8)
    values = picture.astype(np.uint16) << (bits - 8)
    values = top - values if photometric == "MONOCHROME1" else values
    stored = values.astype(np.uint8) if bits == 8 else values.astype(np.uint16)
    study = StudyHeader("P", "TEST^WRAP", "", "", "2.25.1", "1", "20240101", "120000", "A", "")
    header = ObjectHeader(study, "2.25.2", 1, f"2.25.3.{number}", 1)
    windows = (Window(top / 2, top, "LINEAR_EXACT"),) if with_window else ()
    radiograph = Radiograph(
        header, CR, "HAND", None, Laterality.LEFT, "PA", None, 0.15, bits, photometric, windows=windows
    )
    write_radiograph(path, radiograph, stored, syntax)
    return path


def input_by_way_of_dicom(path: Path, picture: NDArray[np.uint8], number: int, spec: InputSpec) -> NDArray[np.uint8]:
    """[S, S] model input of picture [rows, columns], written to path by write_as_dicom and read as scoring reads it."""
    data = write_as_dicom(path, picture, number).read_bytes()
    display, aspect, _ = decode(data, IntakePolicy(), spec.decode_size)
    return preprocess(display, spec, aspect)
