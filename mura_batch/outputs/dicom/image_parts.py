"""What result objects show of one image: picture and map, a line of text, the outline of the hottest region."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mura_batch.outputs.dicom.capture_picture import capture_picture
from mura_batch.outputs.dicom.outline import hottest_outline, in_source_pixels
from mura_batch.outputs.report.thumbnails import map_levels
from mura_batch.preprocess import InputSpec
from mura_batch.records import InstanceScore
from mura_batch.version import __version__

if TYPE_CHECKING:
    from mura_batch.dicom.write.result_objects import StudyResult
    from mura_batch.dicom.write.result_sc import Capture
    from mura_batch.dicom.write.result_set import ImageParts
    from mura_batch.outputs.sink import RunInfo


def image_parts(result: StudyResult, number: int, run: RunInfo, score: InstanceScore) -> ImageParts:
    """number: of the image in result.images, from 0. A picture that is missing or damaged leaves the capture and the
    outline out."""
    from mura_batch.dicom.write.result_set import ImageParts

    capture, outline = None, None
    thumbnail = run.read_picture(score.decoded.content_hash)
    with contextlib.suppress(ValueError, OSError):  # damaged: as if it were missing
        if thumbnail:
            capture = _capture(result, number, thumbnail)
            outline = _outline(result, number, run.model.card.input, map_levels(thumbnail))
    return ImageParts(capture, _state_text(result, number), outline)


def _capture(result: StudyResult, number: int, thumbnail: bytes) -> Capture:
    row, algorithm = result.row, result.algorithm
    probability = result.images[number].probability
    lines = (
        f"AI score: image {probability:.2f}, study {row.score:.2f}: {_verdict(result)} (threshold {row.threshold:g})",
        f"FOR RESEARCH USE ONLY, NOT FOR DIAGNOSIS. {algorithm.name[:24]} {algorithm.version[:12]}, "
        f"mura-batch {__version__}",
    )
    return capture_picture(thumbnail, probability, lines)


def _state_text(result: StudyResult, number: int) -> str:
    score, image = result.row.score, result.images[number].probability
    return f"AI score: study {score:.2f} {_verdict(result)}, image {image:.2f}; for research use only"


def _verdict(result: StudyResult) -> str:
    return "abnormal" if result.row.abnormal else "not abnormal"


def _outline(
    result: StudyResult, number: int, spec: InputSpec, levels: NDArray[np.uint8]
) -> NDArray[np.float64] | None:
    """Of abnormal studies only: a normal one has nothing to be pointed at."""
    image = result.images[number]
    outline = hottest_outline(levels) if result.row.abnormal else None
    if outline is None or not image.source.rows:
        return None
    shape = (image.source.rows, image.source.columns)
    return in_source_pixels(outline, shape, spec, image.decisions.pixel_aspect)
