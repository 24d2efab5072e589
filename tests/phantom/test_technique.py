"""Stored values and display: whatever the technique, a reader who follows PS3.3 sees the picture that was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mura_batch.dicom.write.radiograph import CR, VoiTable, Window
from mura_batch.phantom.study_plan import TECHNIQUES
from mura_batch.phantom.technique import Technique, stored_values, voi_of

PICTURE = np.linspace(0, 1, 997, dtype=np.float32).reshape(1, -1)


def _windowed(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, written from the standard's own formulas, output 0 to 1."""
    c, w = window.center, window.width
    match window.function:
        case "LINEAR":
            return np.clip((values - (c - 0.5)) / (w - 1) + 0.5, 0, 1)
        case "LINEAR_EXACT":
            return np.clip((values - c) / w + 0.5, 0, 1)
    return np.asarray(1 / (1 + np.exp(-4 * (values - c) / w)))


def _looked_up(values: NDArray[np.float64], table: VoiTable) -> NDArray[np.float64]:
    entries = np.asarray(table.values)[np.clip(values - table.first, 0, len(table.values) - 1).astype(int)]
    return entries / ((1 << table.bits) - 1)


def _shown(technique: Technique) -> NDArray[np.float64]:
    """What a reader makes of the stored picture, 0 black to 1 white."""
    values = stored_values(PICTURE, technique) * technique.slope + technique.intercept
    windows, table = voi_of(technique)
    if table is not None:
        shown = _looked_up(values, table)
    elif windows:
        shown = _windowed(values, windows[0])
    else:
        shown = (values - values.min()) / np.ptp(values)
    return 1 - shown if technique.inverse else shown


@pytest.mark.parametrize("voi", ["linear", "linear exact", "two windows", "none"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_linear_display_shows_the_drawn_picture(voi: str, photometric: str) -> None:
    technique = Technique(CR, "", photometric=photometric, voi=voi, slope=2.0, intercept=-1024.0)

    np.testing.assert_allclose(_shown(technique), PICTURE, atol=1 / 1500)


@pytest.mark.parametrize("voi", sorted({technique.voi for technique in TECHNIQUES}))
@pytest.mark.parametrize("bits", [12, 16])
def test_monochrome_1_and_2_show_the_same_picture(voi: str, bits: int) -> None:
    one, two = (Technique(CR, "", bits, name, voi) for name in ("MONOCHROME1", "MONOCHROME2"))

    np.testing.assert_allclose(_shown(one), _shown(two), atol=1 / 1500)
    assert stored_values(PICTURE, one).ravel()[0] > stored_values(PICTURE, one).ravel()[-1]
    assert stored_values(PICTURE, two).ravel()[0] < stored_values(PICTURE, two).ravel()[-1]


@pytest.mark.parametrize("technique", TECHNIQUES, ids=lambda technique: f"{technique.photometric} {technique.voi}")
def test_every_display_gets_brighter_where_the_picture_does(technique: Technique) -> None:
    shown = _shown(technique).ravel()

    assert (np.diff(shown) >= -1e-9).all()
    assert shown[0] < 0.15
    assert shown[-1] > 0.85


def test_an_unknown_voi_is_refused() -> None:
    with pytest.raises(ValueError, match="no VOI is called"):
        voi_of(Technique(CR, "", voi="quadratic"))
