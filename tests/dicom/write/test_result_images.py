"""Secondary captures and presentation states: valid by dciodvfy, and shown by DCMTK as mura-batch shows them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from mura_batch.dicom.pixels.decode import decode
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.dicom.write.result_gsps import presentation_state
from mura_batch.dicom.write.result_uids import encoded

Studies = tuple[Any, ...]


def _saved(data: Dataset, folder: Path) -> Path:
    path = folder / f"{data.SOPInstanceUID}.dcm"
    path.write_bytes(encoded(data))
    return path


def _native(path: Path, folder: Path) -> Path:
    """The same image uncompressed: DCMTK has no JPEG 2000."""
    data = dcmread(path)
    uid = data.SOPInstanceUID
    if data.file_meta.TransferSyntaxUID.is_compressed:
        if data.file_meta.TransferSyntaxUID.is_encapsulated:
            data.decompress(generate_instance_uid=False)
        assert data.SOPInstanceUID == uid
        path = folder / "native.dcm"
        data.save_as(path, implicit_vr=False, little_endian=True)
    return path


def _shown(program: list[str], picture: Path) -> np.ndarray[Any, Any]:
    done = subprocess.run([*program, str(picture)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as image:
        return np.asarray(image).astype(int)


def test_all_images_have_no_error_for_dciodvfy(
    drawn_studies: Studies, tmp_path: Path, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    for drawn in drawn_studies:
        for data in (*drawn.captures(), *drawn.states()):
            assert dciodvfy_errors(_saved(data, tmp_path)) == []


def test_states_show_what_mura_batch_shows(drawn_studies: Studies, tmp_path: Path) -> None:
    """Polarity, window, lookup table and rescale, to one grey level, in DCMTK's own rendering."""
    if shutil.which("dcmp2pgm") is None:
        pytest.skip("dcmp2pgm is not installed (apt-get install dcmtk)")
    seen = set()
    for drawn in drawn_studies:
        for number, path in enumerate(drawn.files):
            own, _, decisions = decode(path.read_bytes(), IntakePolicy(settle_seconds=0), 0)
            state = _saved(presentation_state(drawn.result, number, "score", None), tmp_path)
            program = ["dcmp2pgm", "--pstate", str(state), str(_native(path, tmp_path))]
            shown = _shown(program, tmp_path / "shown.pgm")
            assert np.abs(shown - own).max() <= 1, (decisions.voi, decisions.polarity)
            seen.add((decisions.polarity, decisions.voi))
    assert {polarity for polarity, _ in seen} == {"as stored", "inverted"}
    assert {"window linear", "window sigmoid", "voi lut"} <= {voi for _, voi in seen}


def test_a_state_with_the_default_shape_would_be_the_negative(drawn_studies: Studies, tmp_path: Path) -> None:
    """Why the test above is one: the wrong shape differs by hundreds of grey levels."""
    if shutil.which("dcmp2pgm") is None:
        pytest.skip("dcmp2pgm is not installed (apt-get install dcmtk)")
    drawn = next(d for d in drawn_studies if d.result.images[0].decisions.polarity == "inverted")
    data = presentation_state(drawn.result, 0, "score", None)
    assert data.PresentationLUTShape == "INVERSE"
    data.PresentationLUTShape = "IDENTITY"
    own, _, _ = decode(drawn.files[0].read_bytes(), IntakePolicy(settle_seconds=0), 0)
    program = ["dcmp2pgm", "--pstate", str(_saved(data, tmp_path)), str(_native(drawn.files[0], tmp_path))]
    assert np.abs(_shown(program, tmp_path / "shown.pgm") - own).max() > 100


def test_a_state_annotates_its_own_image_alone(drawn_studies: Studies) -> None:
    drawn = next(d for d in drawn_studies if len(d.files) > 1)
    first, second = drawn.states()[:2]
    (annotation,) = first.GraphicAnnotationSequence
    (line,), (shape,) = annotation.TextObjectSequence, annotation.GraphicObjectSequence
    assert "research use only" in line.UnformattedTextValue
    assert shape.NumberOfGraphicPoints == 5
    assert shape.GraphicData[:2] == shape.GraphicData[-2:]
    for state, image in zip((first, second), drawn.result.images, strict=False):
        (series,) = state.ReferencedSeriesSequence
        assert [item.ReferencedSOPInstanceUID for item in series.ReferencedImageSequence] == [
            image.source.sop_instance_uid
        ]
    assert first.SeriesInstanceUID == second.SeriesInstanceUID


def test_dcmtk_shows_a_capture_pixel_by_pixel(drawn_studies: Studies, tmp_path: Path) -> None:
    if shutil.which("dcm2pnm") is None:
        pytest.skip("dcm2pnm is not installed (apt-get install dcmtk)")
    data = drawn_studies[0].captures()[0]
    shown = _shown(["dcm2pnm", str(_saved(data, tmp_path))], tmp_path / "shown.ppm")
    assert np.array_equal(shown, data.pixel_array)


def test_a_capture_is_derived_burned_in_and_names_its_source(drawn_studies: Studies) -> None:
    drawn = drawn_studies[0]
    data = drawn.captures()[0]
    assert list(data.ImageType) == ["DERIVED", "SECONDARY"]
    assert data.BurnedInAnnotation == "YES"
    assert (data.LossyImageCompression, data.LossyImageCompressionRatio) == ("01", 12.5)
    assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == drawn.result.images[0].source.sop_instance_uid
    source = dcmread(drawn.files[0], stop_before_pixels=True)
    assert data.SeriesInstanceUID != source.SeriesInstanceUID
    assert data.StudyInstanceUID == source.StudyInstanceUID


def test_images_are_the_same_bytes_again(drawn_studies: Studies) -> None:
    drawn = drawn_studies[2]
    for once, again in zip((*drawn.captures(), *drawn.states()), (*drawn.captures(), *drawn.states()), strict=True):
        assert encoded(once) == encoded(again)
