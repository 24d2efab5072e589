"""agreement.json, agreement.csv and truth.json: by way of the real command, and recomputed from studies.csv."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mura_batch.cli import cli
from mura_batch.errors import InputError
from mura_batch.outputs.agreement_files import COLUMNS, read_run_truth

FILES = ("agreement.json", "agreement.csv", "truth.json")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def out(scored: Path, tmp_path: Path) -> Path:
    """OUT of a run without truth."""
    shutil.copytree(scored, tmp_path / "out", symlinks=True)
    return tmp_path / "out"


@pytest.fixture
def truth(scored: Path, tmp_path: Path) -> Path:
    """Of the scored studies: half of the calls are right; one study is pending, and one is of another run."""
    path = tmp_path / "readings.csv"
    calls = {row["study_uid"]: int(row["abnormal"]) for row in rows(scored / "latest/studies.csv") if row["score"]}
    lines = [f"{uid},{call ^ (n % 2)},{call}" for n, (uid, call) in enumerate(calls.items())]
    path.write_text("\n".join(["study_uid,label,reader_1", *lines, "7.7,pending,", "9.9,1,1"]) + "\n")
    return path


def report(out: Path, *words: object) -> str:
    done = CliRunner().invoke(cli, ["report", str(out / "latest"), *map(str, words)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return (out / "latest/report.html").read_text(encoding="utf-8")


def test_a_run_without_truth_has_no_agreement(out: Path) -> None:
    assert not any((out / "latest" / name).exists() for name in FILES)
    assert values(out / "latest/run.json")["agreement"] is None
    assert 'id="agreement"' not in report(out)


def test_the_files_name_exactly_the_truth_that_was_used(out: Path, truth: Path) -> None:
    page = report(out, "--truth", truth)
    digest = hashlib.sha256(truth.read_bytes()).hexdigest()
    (used,) = values(out / "latest/agreement.json")["truth"]
    assert (used["file"], used["sha256"], used["level"]) == (str(truth), digest, "study")
    assert {(r["truth_file"], r["truth_sha256"]) for r in rows(out / "latest/agreement.csv")} == {(str(truth), digest)}
    assert values(out / "latest/run.json")["agreement"]["truth"] == [used]
    assert str(truth) in page
    assert digest in page


def test_every_label_is_counted_once(out: Path, truth: Path) -> None:
    page = report(out, "--truth", truth)
    counts = values(out / "latest/agreement.json")["counts"]
    compared = sum(bool(row["score"]) for row in rows(out / "latest/studies.csv"))
    # The pending line is of another run too.
    assert (counts["lines"], counts["labels"], counts["compared"], counts["not_in_this_run"]) == (
        compared + 2,
        compared,
        compared,
        2,
    )
    assert "lines that name no study of this run: 2" in page


def test_figures_equal_those_computed_from_the_tables(out: Path, truth: Path) -> None:
    report(out, "--truth", truth)
    labels = {row["study_uid"]: row["label"] for row in rows(truth)}
    pairs = [(labels[row["study_uid"]], row["abnormal"]) for row in rows(out / "latest/studies.csv") if row["score"]]
    right = sum(label == call for label, call in pairs) / len(pairs)
    chance = (
        sum(sum(label == v for label, _ in pairs) * sum(call == v for _, call in pairs) for v in "01") / len(pairs) ** 2
    )
    found = values(out / "latest/agreement.json")["figures"]["overall"]
    assert found["accuracy"]["value"] == pytest.approx(right)
    if chance < 1:
        assert found["kappa"]["value"] == pytest.approx((right - chance) / (1 - chance))
    assert values(out / "latest/run.json")["agreement"]["kappa"] == found["kappa"]


def test_both_files_hold_the_same_figures(out: Path, truth: Path) -> None:
    report(out, "--truth", truth)
    table = rows(out / "latest/agreement.csv")
    assert tuple(table[0]) == COLUMNS
    figures = values(out / "latest/agreement.json")["figures"]
    assert [(row["group"], row["figure"]) for row in table] == [(g, name) for g, of in figures.items() for name in of]
    assert "reader_1" in figures
    for row in table:
        figure = figures[row["group"]][row["figure"]]
        assert (row["method"], row["n"], row["reason"]) == (
            figure["method"],
            str(figure["n"]),
            figure.get("reason", ""),
        )
        for bound in ("value", "low", "high"):
            number = float(row[bound]) if row[bound] else None
            assert number == (None if figure[bound] is None else pytest.approx(figure[bound]))


def test_a_report_without_truth_keeps_what_was_there(out: Path, truth: Path) -> None:
    first = report(out, "--truth", truth)
    before = {name: (out / "latest" / name).read_bytes() for name in (*FILES, "run.json")}
    truth.unlink()
    assert report(out) == first
    assert {name: (out / "latest" / name).read_bytes() for name in before} == before


def test_another_truth_replaces_the_first_everywhere(out: Path, truth: Path, tmp_path: Path) -> None:
    report(out, "--truth", truth)
    other = tmp_path / "consensus.csv"
    other.write_text(truth.read_text().replace("pending", "indeterminate"))
    page = report(out, "--truth", other)
    assert str(truth) not in page
    assert str(other) in page
    for name in ("agreement.json", "agreement.csv", "run.json", "truth.json"):
        assert str(truth) not in (out / "latest" / name).read_text()


def test_a_damaged_truth_json_is_an_error_with_its_fix(out: Path, truth: Path) -> None:
    report(out, "--truth", truth)
    (out / "latest/truth.json").write_text('{"source": 1}')
    with pytest.raises(InputError, match=r"truth\.json cannot be read .* give the truth file with --truth"):
        report(out)
    assert read_run_truth(out) is None


def test_scoring_with_truth_writes_the_same_files_as_report(studies: Path, tmp_path: Path) -> None:
    words = ["score", str(studies), "--out", str(tmp_path / "out"), "--settle", "0", "--workers", "1"]
    CliRunner().invoke(cli, [*words, "--truth", str(studies / "truth.csv")], standalone_mode=False)
    latest = tmp_path / "out/latest"
    before = {name: (latest / name).read_bytes() for name in (*FILES, "run.json", "report.html")}
    report(tmp_path / "out", "--truth", studies / "truth.csv")
    assert {name: (latest / name).read_bytes() for name in before} == before
