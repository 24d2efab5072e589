"""Images unlike the training images: their distance in the tables, their examples on the page, their share in drift."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mura_batch.model_card import load_model
from mura_batch.outputs.read_tables import read_rows
from mura_batch.outputs.report.outliers import EXAMPLES
from mura_batch.outputs.report.render import render_report_file
from mura_batch.resources import engines_folder
from mura_batch.runtime.outlier_limit import outlier_limit


@pytest.fixture
def run(scored: Path, tmp_path: Path) -> Path:
    """The folder of a run over phantoms, in an OUT of the test's own."""
    return Path(shutil.copytree(scored, tmp_path / "out", symlinks=True)) / "latest"


def test_every_image_has_a_distance_and_a_call(run: Path) -> None:
    limit = outlier_limit(load_model(engines_folder() / "reference"))
    assert limit is not None
    rows = list(read_rows(run, "images"))
    assert rows
    for row in rows:
        assert float(row["distance"]) > 0
        assert row["outlier"] == str(int(float(row["distance"]) > limit))


def test_drift_counts_outliers_among_measured_images(run: Path) -> None:
    rows = list(read_rows(run, "images"))
    (night,) = json.loads((run / "drift.json").read_text())["nights"]
    new = [row for row in rows if row["reused"] == "0"]
    assert night["figures"]["outliers"] == {"hits": sum(row["outlier"] == "1" for row in new), "n": len(new)}
    assert night["figures"]["devices"] == {"counts": {"mura-batch phantom PHANTOM": len(new)}}


def test_the_page_shows_the_farthest_again_when_rendered_anew(run: Path) -> None:
    far = sorted((float(row["distance"]) for row in read_rows(run, "images") if row["outlier"] == "1"), reverse=True)
    assert far, "a drawing is unlike a radiograph"
    before = _section(run / "report.html")
    assert before.count("<figure>") == min(EXAMPLES, len(far))
    assert f"distance {round(far[0]):,}" in before
    assert _section(render_report_file(run.resolve(), None)) == before


def _section(page: Path) -> str:
    return page.read_text(encoding="utf-8").split('<section id="outliers"')[1].split("</section>")[0]
