"""A header that our own reader cannot parse, as pydicom reads it. Runs in a worker process only: pydicom neither bounds
what it inflates nor how deep it recurses (decision 11)."""

from __future__ import annotations

import io
import warnings

from mura_batch.dicom.header.tags import ALL_TAGS
from mura_batch.dicom.refused import Refused, damaged
from mura_batch.dicom.syntax import EXPLICIT_BE, EXPLICIT_LE, NATIVE

PIXEL_DATA = 0x7FE00010


def rewritten(data: bytes | memoryview) -> bytes:
    """The file anew: the elements that intake and pixels need and Pixel Data, of the values that pydicom reads, in
    explicit VR. An element that pydicom cannot convert is left out. Raises Refused where it cannot read the file, or
    finds no Pixel Data in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is odd; why it is read here is flagged already
        try:
            return _rewritten(data)
        except (MemoryError, Refused):
            raise
        except Exception as error:
            # pydicom raises what its parts raise: AttributeError, struct.error, RecursionError, ...
            raise damaged(f"pydicom cannot read it either: {type(error).__name__}") from error


def _rewritten(data: bytes | memoryview) -> bytes:
    from pydicom import dcmread, dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    source = dcmread(io.BytesIO(data), force=True)  # sniffed before: some exports write no preamble
    copy = Dataset()
    for tag in sorted(ALL_TAGS | {PIXEL_DATA}):
        try:
            if tag in source:
                copy[tag] = source[tag]
        except Exception:  # noqa: BLE001, S112 - a broken value is absent, as everywhere (tags.Tags)
            continue
    if PIXEL_DATA not in copy:
        raise damaged("pydicom finds no Pixel Data (7FE0,0010) either")
    syntax = str(source.file_meta.get("TransferSyntaxUID", "")) if hasattr(source, "file_meta") else ""
    if not syntax or syntax in NATIVE:
        syntax = EXPLICIT_LE if source.original_encoding[1] else EXPLICIT_BE
    copy.preamble, copy.file_meta = b"\0" * 128, FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = io.BytesIO()
    dcmwrite(buffer, copy, implicit_vr=False, little_endian=syntax != EXPLICIT_BE, enforce_file_format=False)
    return buffer.getvalue()
