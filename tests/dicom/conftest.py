"""DICOM files made for these tests, and the way through discover, read_header and DecodePool."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from mura_batch.dicom import syntax as syntaxes
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.worker.pool import DecodePool
from mura_batch.dicom.write.radiograph import encode_frame
from mura_batch.preprocess import InputSpec
from mura_batch.records import Decoded, Instance, Skipped

CR = "1.2.840.10008.5.1.4.1.1.1"
Pixels = NDArray[Any]
Answer = tuple[Decoded, NDArray[np.uint8]] | Skipped


@pytest.fixture(scope="session")
def limb() -> Pixels:
    """[200, 160] uint16 of 12 bits: a smooth shaft with a noisy edge, on a dark ground; every value from 0 to 4095 may
    occur."""
    rows, columns = np.mgrid[0:200, 0:160]
    shaft = 3000 * np.exp(-(((columns - 80 - 10 * np.sin(rows / 40)) / 30) ** 2))
    noise = np.random.default_rng(7).normal(0, 40, shaft.shape)
    return np.clip(shaft + 400 + noise, 0, 4095).astype(np.uint16)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


def _dataset(stored: Pixels, name: str, changes: dict[str, Any]) -> Dataset:
    data = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": CR, "SOPInstanceUID": f"1.2.3.{sum(name.encode())}", "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUID": "1.2.3.5", "Modality": "CR", "PatientID": "P1", "BodyPartExamined": "HAND",
        "ImageType": ["ORIGINAL", "PRIMARY"], "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "Rows": stored.shape[0], "Columns": stored.shape[1], "BitsAllocated": 8 * stored.itemsize,
        "BitsStored": 12 if stored.itemsize == 2 else 8, "HighBit": 11 if stored.itemsize == 2 else 7,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    }  # fmt: skip
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(data, keyword, value)
    return data


def _deflated(stored: Pixels, bits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(stored.tobytes()) + packer.flush()


ENCODERS: dict[str, Callable[[Pixels, int], bytes]] = {
    syntaxes.JPEG_BASELINE: lambda stored, bits: imagecodecs.jpeg8_encode(stored, level=95),
    syntaxes.HTJ2K_LOSSLESS: lambda stored, bits: imagecodecs.htj2k_encode(stored, reversible=True),
    # lossless=True: distance=0 is not exact
    syntaxes.JPEG_XL_LOSSLESS: lambda stored, bits: imagecodecs.jpegxl_encode(
        stored, lossless=True, bitspersample=bits
    ),
    syntaxes.JPEG_XL_RECOMPRESSION: lambda stored, bits: imagecodecs.jpegxl_encode_jpeg(
        imagecodecs.jpeg8_encode(stored, level=95)
    ),
    syntaxes.ENCAPSULATED_UNCOMPRESSED: lambda stored, bits: stored.tobytes(),
    syntaxes.DEFLATED_FRAME: _deflated,
}


def _frame(stored: Pixels, syntax: str, bits: int) -> bytes:
    if syntax in ENCODERS:
        return bytes(ENCODERS[syntax](stored, bits))
    return encode_frame(stored, syntax, bits)


def _save(path: Path, data: Dataset, syntax: str) -> None:
    """pydicom 3.0.2 does not know the newest transfer syntaxes and refuses to write them: they are put in afterwards,
    for a private one of the same length."""
    known = UID(syntax).is_transfer_syntax
    stand_in = syntax if known else "2" + syntax[1:]
    data.file_meta.TransferSyntaxUID = UID(stand_in)
    form = {} if known else {"implicit_vr": False, "little_endian": True}
    dcmwrite(path, data, enforce_file_format=True, **form)
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), syntax.encode(), 1))


@pytest.fixture
def write(studies: Path, limb: Pixels) -> Callable[..., Path]:
    """write(name, stored=limb, syntax=EXPLICIT_LE, frame=None, **tags): a CR of a hand under studies/; tags change it,
    None leaves one out; frame replaces the codestream."""

    def make(
        name: str,
        stored: Pixels | None = None,
        syntax: str = syntaxes.EXPLICIT_LE,
        frame: bytes | None = None,
        **tags: Any,
    ) -> Path:
        stored = limb if stored is None else stored
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of the odd values that these tests are about
            data = _dataset(stored, name, tags)
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = UID(syntax)
            data.file_meta.MediaStorageSOPClassUID = CR
            data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
            if syntax in syntaxes.ENCAPSULATED:
                data.PixelData = encapsulate([frame or _frame(stored, syntax, data.BitsStored)])
                data["PixelData"].VR = "OB"
                data["PixelData"].is_undefined_length = True
            else:
                order = ">" if syntax == syntaxes.EXPLICIT_BE else "<"
                raw = frame or stored.astype(stored.dtype.newbyteorder(order)).tobytes()
                data.PixelData = raw + b"\0" * (len(raw) % 2)
                data["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
            path = studies / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(path, data, syntax)
        return path

    return make


@pytest.fixture
def header(studies: Path) -> Callable[..., Instance | Skipped]:
    """header(path, policy=...): what discover and read_header say of one file under studies/."""

    def read(path: Path, policy: IntakePolicy | None = None) -> Instance | Skipped:
        policy = policy or IntakePolicy(settle_seconds=0)
        name = str(path.relative_to(studies))
        (item,) = [item for item in discover(studies, policy) if _source(item) == name]
        return item if isinstance(item, Skipped) else read_header(studies, item, policy)

    return read


def _source(item: Any) -> str:
    return str(item.source.path if isinstance(item, Skipped) else item.path)


@pytest.fixture
def intake(studies: Path) -> Callable[..., dict[str, Answer]]:
    """intake(policy=, workers=, size=, root=): every file under the folder on its whole way, by its path."""

    def run(
        policy: IntakePolicy | None = None, workers: int = 2, size: int = 64, root: Path = studies
    ) -> dict[str, Answer]:
        policy = policy or IntakePolicy(settle_seconds=0)
        answers: dict[str, Answer] = {}

        def instances() -> Iterator[Instance]:
            for item in discover(root, policy):
                record = item if isinstance(item, Skipped) else read_header(root, item, policy)
                if isinstance(record, Skipped):
                    answers[record.source.path] = record
                else:
                    yield record

        with DecodePool(root, policy, InputSpec(size=size), workers) as pool:
            for answer in pool.decode(instances()):
                source = answer.source if isinstance(answer, Skipped) else answer[0].instance.source
                answers[source.path] = answer
        return answers

    return run
