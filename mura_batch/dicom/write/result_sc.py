"""Secondary Capture of a scored image: the picture under its activation map, with the score burned in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from mura_batch.dicom.write.result_objects import (
    NOT_FOR_DIAGNOSIS,
    StudyResult,
    code_item,
    common_arguments,
    finish,
    image_references,
    set_anatomy,
)

SERIES_NUMBER = 9001
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202


@dataclass(frozen=True, slots=True)
class Capture:
    """pixels: [H, W, 3] uint8 RGB. lossy_ratio: of the lossy compression that the picture has been through, or None."""

    pixels: NDArray[np.uint8]
    lossy_ratio: float | None


def secondary_capture(result: StudyResult, number: int, capture: Capture) -> Dataset:
    """number: of the image in result.images, from 0. PS3.3 A.8.1."""
    from highdicom.sc import SCImage

    source = result.images[number].source
    data: Dataset = SCImage(
        pixel_array=capture.pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.study_uid,
        patient_orientation=("L", "F"),  # highdicom wants one; the source's own replaces it
        **common_arguments(result, SERIES_NUMBER, number + 1),
    )
    data.PatientOrientation = source.display.get("PatientOrientation") or ""
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.BurnedInAnnotation = "YES"
    data["PixelData"].VR = "OB"  # PS3.5 8.2: of 8 bits allocated
    data.DerivationDescription = f"Class activation map blended into the model's input; {NOT_FOR_DIAGNOSIS}"
    (item,) = image_references([source])
    item.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE)]
    data.SourceImageSequence = [item]
    _state_compression(data, capture.lossy_ratio)
    set_anatomy(data, result)
    return finish(data, result, source)


def _state_compression(data: Dataset, ratio: float | None) -> None:
    """PS3.3 C.7.6.1.1.5: once lossy, always stated."""
    data.LossyImageCompression = "00" if ratio is None else "01"
    if ratio is not None:
        data.LossyImageCompressionRatio = f"{ratio:.2f}"
        data.LossyImageCompressionMethod = "ISO_10918_1"
