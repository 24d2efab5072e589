"""Truth as it should not be: each page is right, worded for a person, and nothing is dropped in silence."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from run_folders import scored_row, write_drawn_run

from mura_batch.cli import cli
from mura_batch.errors import TruthError

SCORES = {"1": 0.9, "2": 0.2, "3": 0.7, "4": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four studies."""
    rows = [scored_row(uid, [score]) for uid, score in SCORES.items()]
    return write_drawn_run(tmp_path_factory.mktemp("odd") / "out", datetime(2026, 2, 1), rows)


def report(run: Path, text: str, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """agreement.json, and the words of the page's section."""
    path = tmp_path / "truth.csv"
    path.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(cli, ["report", str(run), "--truth", str(path)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    page = (run / "report.html").read_text(encoding="utf-8")
    section = page[page.index('<section id="agreement"') :]
    section = section[: section.index("</section>")]
    values: dict[str, Any] = json.loads((run / "agreement.json").read_text(encoding="utf-8"))
    return values, " ".join(re.sub(r"<[^>]+>", " ", section).split())


def test_one_class_only_has_undefined_figures_with_reasons(run: Path, tmp_path: Path) -> None:
    values, page = report(run, "study_uid,label\n1,1\n2,1\n3,1\n", tmp_path)
    assert values["figures"]["overall"]["auroc"]["value"] is None
    assert values["figures"]["overall"]["kappa"]["reason"].startswith("one class in the truth")
    assert values["figures"]["overall"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert "one class in the truth" in page
    assert "nan" not in page.lower().split()


def test_one_study_is_compared(run: Path, tmp_path: Path) -> None:
    values, page = report(run, "study_uid,label\n1,1\n", tmp_path)
    assert values["counts"]["compared"] == 1
    assert values["figures"]["overall"]["accuracy"]["value"] == 1
    assert "Compared: 1 labelled study of 1 patient." in page


def test_tied_scores_order_nothing_and_say_so(tmp_path: Path) -> None:
    rows = [scored_row(str(n), [0.7]) for n in range(12)]
    run = write_drawn_run(tmp_path / "out", datetime(2026, 2, 1), rows)
    values, page = report(run, "study_uid,label\n" + "".join(f"{n},{n % 2}\n" for n in range(12)), tmp_path)
    overall = values["figures"]["overall"]
    assert overall["auroc"]["value"] is None
    assert overall["kappa"]["value"] == 0
    assert "all scores are equal" in page
    assert "one class in the calls" in page


def test_every_study_contradictory_leaves_nothing_to_compare(run: Path, tmp_path: Path) -> None:
    lines = "".join(f"{uid},0\n{uid},1\n" for uid in SCORES)
    values, page = report(run, f"study_uid,label\n{lines}", tmp_path)
    assert (values["counts"]["contradictory_lines"], values["counts"]["labels"]) == (8, 0)
    assert len(values["contradictory"]) == 4
    assert "4 studies have contradictory labels" in page
    assert "nothing to compare" in page


def test_labels_of_studies_without_score_are_counted(tmp_path: Path) -> None:
    run = write_drawn_run(tmp_path / "out", datetime(2026, 2, 1), [scored_row("1", [0.9]), scored_row("2", [])])
    values, page = report(run, "study_uid,label\n1,1\n2,0\n", tmp_path)
    assert (values["counts"]["compared"], values["counts"]["without_score"]) == (1, 1)
    assert "1 labelled study without a score" in page


def test_a_thousand_columns_change_nothing(run: Path, tmp_path: Path) -> None:
    header, cells = ",".join(f"c{n}" for n in range(1000)), ",".join("x" for _ in range(1000))
    values, _ = report(run, f"study_uid,label,{header}\n1,1,{cells}\n2,0,{cells}\n", tmp_path)
    assert values["counts"]["compared"] == 2


def test_a_cell_of_ten_megabytes_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    before = (run / "report.html").read_bytes() if (run / "report.html").exists() else b""
    with pytest.raises(TruthError, match="is not a CSV: field larger than field limit") as error:
        report(run, f'study_uid,label,remark\n1,1,"{"x" * 10_000_000}"\n', tmp_path)
    assert len(str(error.value)) < 300
    assert ((run / "report.html").read_bytes() if before else b"") == before


def test_a_label_that_fits_no_row_is_named_on_the_page(run: Path, tmp_path: Path) -> None:
    values, page = report(run, "study_uid,region,side,label\n1,wrist,right,1\n2,elbow,,1\n3,wrist,left,0\n", tmp_path)
    assert values["counts"]["no_such_region_or_side"] == 2
    assert [line.partition(": ")[2] for line in values["no_such_region_or_side"]] == ["2 elbow", "3 wrist L"]
    assert "2 elbow" in page
    assert "lines that name a region or side that the study has not and are left out: 2" in page


def test_one_accession_over_two_studies_is_named_on_the_page(tmp_path: Path) -> None:
    rows = [scored_row("1", [0.9], accession="7"), scored_row("2", [0.2], accession="7"), scored_row("3", [0.4])]
    run = write_drawn_run(tmp_path / "out", datetime(2026, 2, 1), rows)
    values, page = report(run, "accession,label\n7,1\nA3,0\n", tmp_path)
    assert (values["counts"]["compared"], values["counts"]["ambiguous_accession"]) == (1, 1)
    assert "have an accession number of several studies" in page


def test_markup_in_a_truth_file_stays_text(run: Path, tmp_path: Path) -> None:
    values, _ = report(run, "study_uid,label\n<script>alert(1)</script>,1\n1,1\n", tmp_path)
    assert values["not_in_this_run"][0].endswith("<script>alert(1)</script>")
    assert "<script" not in (run / "report.html").read_text(encoding="utf-8")
