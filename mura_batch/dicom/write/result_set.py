"""All result objects of one study row, encoded. Captures come first, for the report refers to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mura_batch.dicom.write.result_gsps import presentation_state
from mura_batch.dicom.write.result_objects import ObjectRef, StudyResult, ref_to
from mura_batch.dicom.write.result_sc import Capture, secondary_capture
from mura_batch.dicom.write.result_sr import report
from mura_batch.dicom.write.result_uids import encoded

KINDS = ("sr", "gsps", "sc")


@dataclass(frozen=True, slots=True)
class ImageParts:
    """What is shown of one image. capture: None where its picture is missing. text: the presentation state's line.
    outline: [N, 2] (column, row) in its pixels, None for none."""

    capture: Capture | None
    text: str
    outline: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class ResultObject:
    """data: the whole file; None where it could not be made, for the reason given in words."""

    kind: str
    data: bytes | None = None
    ref: ObjectRef | None = None
    reason: str = ""


def result_set(
    result: StudyResult, kinds: tuple[str, ...], parts: tuple[ImageParts, ...], predecessor: ObjectRef | None
) -> Iterator[ResultObject]:
    """kinds: of KINDS. parts: one for each image of the result, none for a result without a score. A report refers to
    its captures only if they are made as well."""
    captures: list[ObjectRef] = []
    for number, part in enumerate(parts):
        image = result.images[number].source.sop_instance_uid
        if "sc" in kinds:
            made = _capture(result, number, part.capture, image)
            if made.ref is not None:
                captures.append(made.ref)
            yield made
        if "gsps" in kinds:
            yield _state(result, number, part)
    if "sr" in kinds:
        yield _made("sr", report, result, captures, predecessor)


def _capture(result: StudyResult, number: int, capture: Capture | None, image: str) -> ResultObject:
    if capture is None:
        return ResultObject("sc", reason="picture_missing")
    return _made("sc", secondary_capture, result, number, capture, shows=image)


def _state(result: StudyResult, number: int, part: ImageParts) -> ResultObject:
    if not result.images[number].source.display:
        return ResultObject("gsps", reason="source_missing")
    return _made("gsps", presentation_state, result, number, part.text, part.outline)


def _made(kind: str, build: Callable[..., Any], *arguments: Any, shows: str = "") -> ResultObject:
    """highdicom and pydicom refuse what breaks the object's definition by whatever exception its value leads to: the
    other objects of the run are made all the same."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of odd values in the source, which are copied as they stand
            data = build(*arguments)
            return ResultObject(kind, encoded(data), ref_to(data, shows))
    except Exception as error:  # noqa: BLE001  recorded with its type; the value may be patient data
        return ResultObject(kind, reason=f"cannot_be_encoded: {type(error).__name__}")
