"""Grayscale Softcopy Presentation State of a scored image: a line of text and the outline of the map's hottest region,
over the image as mura-batch displayed it. A reader can switch it off."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mura_batch.dicom.pixels.description import Lut
from mura_batch.dicom.pixels.voi import white_level, window
from mura_batch.dicom.write.result_objects import (
    ImageResult,
    StudyResult,
    common_arguments,
    finish,
    set_anatomy,
)
from mura_batch.dicom.write.result_source import reference

if TYPE_CHECKING:
    from highdicom.pr import GraphicAnnotation, GraphicLayer

SERIES_NUMBER = 9002
_LAYER = "AI_SCORE"
_TEXT_BOX = (0.02, 0.95, 0.98, 0.99)  # DISPLAY units: the lower edge, where collimation leaves room


def presentation_state(result: StudyResult, number: int, text: str, outline: NDArray[np.float64] | None) -> Dataset:
    """number: of the image in result.images, from 0. outline: [N, 2] (column, row) in the image's pixels from 1,
    closed; None for none. PS3.3 A.33.1."""
    from highdicom import PresentationLUTTransformation
    from highdicom.pr import GrayscaleSoftcopyPresentationState

    image = result.images[number]
    arguments = common_arguments(result, SERIES_NUMBER, number + 1)
    data: Dataset = GrayscaleSoftcopyPresentationState(
        referenced_images=[_reference(image)],
        content_label="AI SCORE",
        content_description="Probability of abnormality, for research use only",
        content_creator_name="mura-batch^",
        graphic_layers=[_layer()],
        graphic_annotations=[_annotation(image, text, outline)],
        # highdicom's default is IDENTITY for every image: a MONOCHROME1 image would become its negative (C.11.6.1.2)
        presentation_lut_transformation=PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if image.decisions.polarity == "inverted" else "IDENTITY"
        ),
        **arguments,
    )
    _set_modality_transform(data, image)
    _set_voi(data, image)
    set_anatomy(data, result)
    return finish(data, result, image.source)


def _reference(image: ImageResult) -> Dataset:
    data = reference(image.source)
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        if keyword in image.source.display:
            data[keyword] = image.source.display[keyword]
    return data


def _layer() -> GraphicLayer:
    from highdicom.pr import GraphicLayer

    return GraphicLayer(layer_name=_LAYER, order=1, description="Result of mura-batch")


def _annotation(image: ImageResult, text: str, outline: NDArray[np.float64] | None) -> GraphicAnnotation:
    from highdicom.pr import GraphicAnnotation, GraphicObject, TextObject

    line = TextObject(text_value=text, units="DISPLAY", bounding_box=_TEXT_BOX, text_justification="LEFT")
    shapes = [] if outline is None else [GraphicObject(graphic_type="POLYLINE", graphic_data=outline, units="PIXEL")]
    return GraphicAnnotation(
        referenced_images=[reference(image.source)],
        graphic_layer=_layer(),
        text_objects=[line],
        graphic_objects=shapes or None,
    )


def _set_modality_transform(data: Dataset, image: ImageResult) -> None:
    """PS3.3 C.11.1: the one that the displayed picture went through; decisions.modality_transform names it."""
    display = image.source.display
    match image.decisions.modality_transform:
        case "rescale":
            data.RescaleSlope, data.RescaleIntercept = display.RescaleSlope, display.RescaleIntercept
            data.RescaleType = display.get("RescaleType") or "US"
        case "lut":
            data.ModalityLUTSequence = [_modality_lut(display)]


def _set_voi(data: Dataset, image: ImageResult) -> None:
    """PS3.3 C.11.8. Percentiles were scaled from end to end, which is the function LINEAR_EXACT (C.11.2.1.3.2)."""
    decisions, item = image.decisions, Dataset()
    if decisions.voi == "voi lut":
        item.VOILUTSequence = [_voi_lut(image.source.display)]
    elif decisions.voi == "window sigmoid":
        item.VOILUTSequence = [_sigmoid_table(image)]
    elif decisions.window_center is not None and decisions.window_width is not None:
        item.WindowCenter, item.WindowWidth = _decimal(decisions.window_center), _decimal(decisions.window_width)
        words = decisions.voi.split()
        item.VOILUTFunction = words[1].upper() if words[0] == "window" else "LINEAR_EXACT"
    else:
        return
    data.SoftcopyVOILUTSequence = [item]


def _decimal(value: float) -> str:
    return f"{value:.10g}"  # DS holds 16 characters (PS3.5 6.2)


def _voi_lut(display: Dataset) -> Dataset:
    """The image's first table, with 16-bit entries that are white where the displayed picture was."""
    table, entries, first, bits = _table(display.VOILUTSequence[0], display)
    white = white_level(Lut(first, bits, tuple(entries.tolist())), [])
    scaled = np.rint(np.clip(entries / white, 0, 1) * 65535).astype("<u2")
    return _filled(table, scaled, first, 16)


def _sigmoid_table(image: ImageResult) -> Dataset:
    """A SIGMOID window as a table: DCMTK 3.6.7 shows it in a presentation state as if it were LINEAR."""
    display, decisions = image.source.display, image.decisions
    bits, signed = int(display.BitsStored), bool(display.get("PixelRepresentation"))
    stored = np.array([-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1], np.float64)
    if decisions.modality_transform == "rescale":
        stored = stored * float(display.RescaleSlope) + float(display.RescaleIntercept)
    first = max(-32768, int(np.floor(stored.min())))
    values = np.arange(first, min(first + 65535, int(np.ceil(stored.max()))) + 1, dtype=np.float64)
    shown = window(values, decisions.window_center or 0.0, decisions.window_width or 1.0, "SIGMOID")
    table = Dataset()
    table.LUTExplanation = "SIGMOID"
    return _filled(table, np.rint(shown * 65535).astype("<u2"), first, 16)


def _modality_lut(display: Dataset) -> Dataset:
    table, entries, first, bits = _table(display.ModalityLUTSequence[0], display)
    return _filled(table, entries.astype("<u2"), first, bits)


def _table(item: Dataset, display: Dataset) -> tuple[Dataset, NDArray[np.int64], int, int]:
    """(the item without its table, entries, first value mapped, bits of an entry) (PS3.3 C.11.1.1)."""
    table = copy.deepcopy(item)
    count, first, bits = (int(value) for value in table.LUTDescriptor)
    count = count % 65536 or 65536
    if display.get("PixelRepresentation"):
        first = first - 65536 if first > 32767 else first
    data = table.LUTData
    if isinstance(data, bytes):
        order = "<" if item.original_encoding[1] is not False else ">"
        data = np.frombuffer(data, np.uint8 if len(data) < 2 * count else f"{order}u2")
    entries = np.asarray(data, np.int64)[:count]
    del table.LUTDescriptor, table.LUTData
    return table, entries, first, bits


def _filled(table: Dataset, entries: NDArray[np.uint16], first: int, bits: int) -> Dataset:
    """With the VRs written out: nothing else in a presentation state tells them."""
    count = len(entries) % 65536
    if first < 0:
        table.add_new("LUTDescriptor", "SS", [count - 65536 if count > 32767 else count, first, bits])
    else:
        table.add_new("LUTDescriptor", "US", [count, first, bits])
    table.add_new("LUTData", "OW", entries.tobytes())
    return table
