"""Drawings: every number ends where it should, and nothing but numbers goes in."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mura_batch.outputs.report import charts

SHARES = st.floats(0, 1)
KAPPAS = st.one_of(st.floats(-1, 1), st.just(math.nan))
COUNTS = st.lists(st.integers(0, 5000), min_size=charts.BINS, max_size=charts.BINS)


def places(svg: str) -> list[float]:
    """Every place and width of a drawing, in per cent."""
    return [float(value) for value in re.findall(r'(?:x|x1|x2|cx|width)="([0-9.]+)%"', svg)]


@settings(deadline=None)  # the machine may be busy
@given(SHARES, SHARES)
def test_a_flow_bar_starts_where_its_files_were_lost(start: float, share: float) -> None:
    root = ET.fromstring(charts.bar(start, share, "lost"))
    bar = next(e for e in root if e.get("class") == "lost")
    assert float(bar.get("x", "").rstrip("%")) == pytest.approx(100 * start, abs=0.006)
    assert float(bar.get("width", "").rstrip("%")) == pytest.approx(100 * share, abs=0.006)


@settings(deadline=None)  # the machine may be busy
@given(SHARES, SHARES)
def test_a_score_bar_has_the_colour_of_the_call(score: float, threshold: float) -> None:
    drawn = charts.score_bar(score, threshold)
    assert ('class="abnormal"' in drawn) == (score > threshold)


@settings(deadline=None)  # the machine may be busy
@given(COUNTS, COUNTS, SHARES)
def test_histograms_are_well_formed_and_stay_inside(normal: list[int], abnormal: list[int], threshold: float) -> None:
    for draw in (charts.histogram, charts.mirrored_histogram):
        svg = draw(normal, abnormal, threshold)
        root = ET.fromstring(svg)
        assert all(0 <= place <= 100 for place in places(svg))
        columns = [e for e in root if e.get("class") in ("normal", "abnormal")]
        assert len(columns) == sum(n > 0 for n in normal) + sum(n > 0 for n in abnormal)
        assert all(float(e.get("y", "")) >= 0 and float(e.get("height", "")) > 0 for e in columns)


def test_a_histogram_has_its_numbers_as_alternative_text() -> None:
    normal, abnormal = [0] * charts.BINS, [0] * charts.BINS
    normal[2], abnormal[17] = 11, 3
    svg = charts.histogram(normal, abnormal, 0.5)
    assert "14 study rows by score: 11 normal, 3 abnormal" in svg
    assert "11 with a score of 0.10 to 0.15" in svg
    assert "3 with a score of 0.85 to 0.90" in svg


@settings(deadline=None)  # the machine may be busy
@given(KAPPAS, KAPPAS, KAPPAS)
def test_a_forest_row_with_undefined_values_is_well_formed(value: float, low: float, high: float) -> None:
    known = not (math.isnan(low) or math.isnan(high))
    ends = (min(low, high), max(low, high)) if known else (math.nan, math.nan)
    svg = charts.forest(value, *ends, 0.7, (0.3, 0.9))
    root = ET.fromstring(svg)
    assert all(0 <= place <= 100 for place in places(svg))
    kinds = [e.get("class") for e in root.iter()]
    assert kinds.count("interval") == known
    assert kinds.count("value") == (not math.isnan(value))
    assert kinds.count("reader") == 2


def test_an_interval_beyond_the_axis_is_an_arrow() -> None:
    assert '<circle class="value"' in charts.forest(-0.2, math.nan, math.nan, None, ())
    beyond = charts.forest(-0.9, -1.0, 0.4, None, ())
    assert '<circle class="value"' not in beyond
    assert beyond.count("Z") == 2  # an arrow for the value, one for the end of its interval


def test_forest_kappas_are_ordered_left_to_right() -> None:
    svg = charts.forest(0.1, math.nan, math.nan, None, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    readers = [float(x) for x in re.findall(r'class="reader" cx="([0-9.]+)%"', svg)]
    assert readers == sorted(readers)
    assert np.diff(readers) == pytest.approx(np.diff(readers)[0], abs=0.011)


def test_a_roc_curve_joins_the_corners_and_marks_the_threshold() -> None:
    svg = charts.roc(np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0, 1.0]), (0.5, 1.0), "words")
    root = ET.fromstring(svg)
    points = next(e for e in root if e.get("class") == "curve").get("points", "").split()
    frame = next(e for e in root if e.get("class") == "frame")
    left, top, size = (float(frame.get(name, "")) for name in ("x", "y", "width"))
    assert points[0] == f"{left},{top + size}"
    assert points[-1] == f"{left + size},{top}"
    dot = next(e for e in root if e.get("class") == "value")
    assert (float(dot.get("cx", "")), float(dot.get("cy", ""))) == (left + size / 2, top)
