"""Values -> DICOM files: radiographs, and the other objects that stand beside them in an export.

Files are bit for bit the same for the same values: nothing here reads a clock, draws a random number or makes up a UID.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from mura_batch.dicom import syntax as syntaxes
from mura_batch.records import Laterality

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage - For Presentation

# PS3.7 D.3.3.2 Implementation Class UID: our own, under the UUID root (PS3.5 B.2), so that no pydicom version shows.
IMPLEMENTATION_CLASS = "2.25.211489231807294361950162331571024519843"
IMPLEMENTATION_NAME = "MURA_BATCH"

WRITABLE = (
    syntaxes.IMPLICIT_LE, syntaxes.EXPLICIT_LE, syntaxes.DEFLATED, syntaxes.JPEG_2000_LOSSLESS,
    syntaxes.JPEG_LS_LOSSLESS, syntaxes.JPEG_LOSSLESS_SV1, syntaxes.RLE,
)  # fmt: skip

Stored = NDArray[np.uint8] | NDArray[np.uint16]  # [rows, columns] stored values


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: value, scheme ('SCT', 'DCM') and meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """Who and when. date: DA, YYYYMMDD. time: TM, HHMMSS."""

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_uid: str
    study_id: str
    date: str
    time: str
    accession: str
    description: str


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """What every object of a study has beside the study: its own place in it."""

    study: StudyHeader
    series_uid: str
    series_number: int
    sop_instance_uid: str
    number: int
    series_description: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """One VOI window in the values behind the rescale (PS3.3 C.11.2.1.2). function: LINEAR, LINEAR_EXACT or SIGMOID."""

    center: float
    width: float
    function: str = "LINEAR"
    explanation: str = "NORMAL"


@dataclass(frozen=True, slots=True)
class VoiTable:
    """A VOI LUT (PS3.3 C.11.2.1.1). first: the input value that the first entry belongs to. bits: of the entries."""

    first: int
    bits: int
    values: tuple[int, ...]
    explanation: str = "NORMAL"


@dataclass(frozen=True, slots=True)
class Radiograph:
    """Everything about a radiograph but its pixels. spacing: mm a pixel at the detector. region: None writes Body Part
    Examined alone. A DX object has to have rescale 1 and 0 (PS3.3 C.8.11.3)."""

    header: ObjectHeader
    sop_class: str  # CR or DX
    body_part: str
    region: Code | None
    laterality: Laterality
    view_position: str
    view: Code | None
    spacing: float
    bits_stored: int = 12
    photometric: str = "MONOCHROME2"
    slope: float = 1.0
    intercept: float = 0.0
    windows: tuple[Window, ...] = ()
    table: VoiTable | None = None


def write_radiograph(path: Path, picture: Radiograph, stored: Stored, syntax: str) -> None:
    """stored: [rows, columns], below 2 ** bits_stored. syntax: one of WRITABLE. Raises ValueError on what cannot be."""
    data = radiograph_dataset(picture, stored)
    if syntax in syntaxes.NATIVE:
        data.PixelData = stored.astype("<u2" if stored.dtype == np.uint16 else np.uint8).tobytes()
        if len(data.PixelData) % 2:
            data.PixelData += b"\0"
    else:
        if syntax == syntaxes.JPEG_LS_LOSSLESS and picture.bits_stored not in {8, 16}:
            # Its encoder writes the sample size as precision; PS3.5 8.2.3 wants precision and Bits Stored to agree.
            raise ValueError(f"JPEG-LS is written with 8 or 16 bits stored, not {picture.bits_stored}")
        data.PixelData = encapsulate([encode_frame(stored, syntax, picture.bits_stored)])
    data["PixelData"].VR = "OB" if syntax not in syntaxes.NATIVE or stored.dtype == np.uint8 else "OW"
    save(path, data, syntax)


def encode_frame(stored: Stored, syntax: str, bits_stored: int) -> bytes:
    """One lossless frame in the codestream of the transfer syntax; its precision is bits_stored."""
    match syntax:
        case syntaxes.JPEG_2000_LOSSLESS:
            return bytes(
                imagecodecs.jpeg2k_encode(
                    stored, level=0, codecformat="j2k", reversible=True, bitspersample=bits_stored, numthreads=1
                )
            )
        case syntaxes.JPEG_LS_LOSSLESS:
            return _without_application_segments(bytes(imagecodecs.jpegls_encode(stored, level=0)))
        case syntaxes.JPEG_LOSSLESS_SV1:  # predictor 1 is what "selection value 1" means
            code = imagecodecs.jpeg_encode(stored, lossless=True, predictor=1, bitspersample=bits_stored)
            return _without_application_segments(bytes(code))
        case syntaxes.RLE:
            return _run_length(stored)
    raise ValueError(f"frames are not written in transfer syntax {syntax}")


def _without_application_segments(code: bytes) -> bytes:
    """A JPEG or JPEG-LS stream without the JFIF or SPIFF header that its encoder put in: both are for other files."""
    at = 2
    while code[at] == 0xFF and 0xE0 <= code[at + 1] <= 0xEF:
        at += 2 + int.from_bytes(code[at + 2 : at + 4], "big")
    return bytes(code[:2] + code[at:])


def _run_length(stored: Stored) -> bytes:
    """PS3.5 annex G: a segment for each byte of a sample, the high one first; each row packed on its own (G.3.1)."""
    rows, columns = stored.shape
    planes = stored.astype(f">u{stored.itemsize}").view(np.uint8).reshape(rows, columns, stored.itemsize)
    segments = []
    for plane in range(stored.itemsize):
        packed = bytes(imagecodecs.packbits_encode(np.ascontiguousarray(planes[:, :, plane]), axis=-1))
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64 + sum(len(segment) for segment in segments[:n]) for n in range(len(segments))]
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def radiograph_dataset(picture: Radiograph, stored: Stored) -> Dataset:
    """The whole data set but Pixel Data. Raises ValueError where the values break the object's definition."""
    if stored.ndim != 2 or int(stored.max()) >= 1 << picture.bits_stored:
        raise ValueError(f"stored values {stored.shape} do not fit {picture.bits_stored} bits of one sample")
    if picture.sop_class == DX and (picture.slope, picture.intercept) != (1.0, 0.0):
        raise ValueError("a DX image has Rescale Slope 1 and Intercept 0 (PS3.3 C.8.11.3)")
    data = base_dataset(picture.header, picture.sop_class, "DX" if picture.sop_class == DX else "CR")
    _describe_pixels(data, picture, stored)
    _describe_anatomy(data, picture)
    _describe_display(data, picture)
    if picture.sop_class == DX:
        _describe_detector(data, picture)
    return data


def base_dataset(header: ObjectHeader, sop_class: str, modality: str) -> Dataset:
    """The modules that every object shares: patient, study, series, equipment, SOP common."""
    study = header.study
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.SOPClassUID, data.SOPInstanceUID = sop_class, header.sop_instance_uid
    data.StudyDate = data.SeriesDate = data.ContentDate = study.date
    data.StudyTime = data.SeriesTime = data.ContentTime = study.time
    data.AccessionNumber, data.Modality, data.Manufacturer = study.accession, modality, "mura-batch phantom"
    data.InstitutionName, data.ReferringPhysicianName = "PHANTOM HOSPITAL", ""
    data.ManufacturerModelName, data.DeviceSerialNumber, data.SoftwareVersions = "PHANTOM", "1", "1"
    data.StudyDescription, data.SeriesDescription = study.description, header.series_description
    data.PatientName, data.PatientID = study.patient_name, study.patient_id
    data.PatientBirthDate, data.PatientSex = study.birth_date, study.sex
    data.StudyInstanceUID, data.SeriesInstanceUID = study.study_uid, header.series_uid
    data.StudyID, data.SeriesNumber, data.InstanceNumber = study.study_id, header.series_number, header.number
    return data


def _describe_pixels(data: Dataset, picture: Radiograph, stored: Stored) -> None:
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, picture.photometric
    data.Rows, data.Columns = stored.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = (
        stored.itemsize * 8,
        picture.bits_stored,
        picture.bits_stored - 1,
    )
    data.PixelRepresentation = 0
    data.ImageType = ["ORIGINAL", "PRIMARY"]
    data.AcquisitionDate, data.AcquisitionTime = picture.header.study.date, picture.header.study.time
    spacing = f"{picture.spacing:.5f}"
    data.ImagerPixelSpacing = [spacing, spacing]
    if picture.sop_class == CR:
        data.PixelSpacing = [spacing, spacing]
    data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"


def _describe_anatomy(data: Dataset, picture: Radiograph) -> None:
    data.BodyPartExamined, data.ViewPosition = picture.body_part, picture.view_position
    if picture.laterality is not Laterality.UNKNOWN:  # Laterality (0020,0060) may not stand beside it (PS3.3 C.7.3.1)
        data.ImageLaterality = picture.laterality.value
    data.PatientOrientation = ["L", "F"]
    if picture.region is not None:
        data.AnatomicRegionSequence = [coded(picture.region)]
    if picture.view is not None:
        view = coded(picture.view)
        view.ViewModifierCodeSequence = []
        data.ViewCodeSequence = [view]


def _describe_display(data: Dataset, picture: Radiograph) -> None:
    if picture.sop_class == DX or (picture.slope, picture.intercept) != (1.0, 0.0):
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = picture.slope, picture.intercept, "US"
    if picture.windows:
        data.WindowCenter = [window.center for window in picture.windows]
        data.WindowWidth = [window.width for window in picture.windows]
        data.WindowCenterWidthExplanation = [window.explanation for window in picture.windows]
        data.VOILUTFunction = picture.windows[0].function  # one value for all of them (PS3.3 C.11.2.1.3)
    if picture.table is not None:
        data.VOILUTSequence = [_lookup(picture.table)]


def _lookup(table: VoiTable) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(table.values) % 65536, table.first, table.bits])  # 0 stands for 65536
    item.LUTExplanation = table.explanation
    item.add_new("LUTData", "OW", np.asarray(table.values, dtype="<u2").tobytes())
    return item


def _describe_detector(data: Dataset, picture: Radiograph) -> None:
    """PS3.3 C.8.11: what a DX object needs beyond CR."""
    data.PresentationIntentType = "FOR PRESENTATION"
    data.PixelIntensityRelationship = "LOG"
    inverse = picture.photometric == "MONOCHROME1"
    data.PixelIntensityRelationshipSign = 1 if inverse else -1  # 1: higher values where more X-rays arrived
    data.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    data.DetectorType, data.DetectorConfiguration, data.PositionerType = "SCINTILLATOR", "AREA", "NONE"
    data.AcquisitionContextSequence = []
    data.KVP = "60"


def coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def with_meta(data: Dataset, syntax: str, sop_class: str, sop_instance_uid: str) -> Dataset:
    """Gives the data set its File Meta Information (PS3.10 7.1) and returns it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(IMPLEMENTATION_CLASS), IMPLEMENTATION_NAME
    data.file_meta = meta
    return data


def save(path: Path, data: Dataset, syntax: str) -> None:
    dcmwrite(path, with_meta(data, syntax, data.SOPClassUID, data.SOPInstanceUID), enforce_file_format=True)
