"""Outputs by way of the real command: each is one module and one entry, and all are fed with the same rows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mura_batch.cli import cli
from mura_batch.errors import OutputError
from mura_batch.outputs.csv_tables import CsvTables
from mura_batch.outputs.formats import FORMATS
from mura_batch.outputs.jsonl_tables import JsonlTables
from mura_batch.outputs.read_tables import read_rows
from mura_batch.outputs.report.render import render_report_file
from mura_batch.outputs.sink import RunEnd, RunInfo
from mura_batch.outputs.tables import TABLES
from mura_batch.records import InstanceScore, MissingStudy, Skipped, StudyScore

RunInfoMaker = Callable[..., RunInfo]


class Toy:
    """An output that writes a line for each thing that it is given."""

    def __init__(self, run: RunInfo) -> None:
        self._run = run
        self._lines = [f"{run.name} by {run.model.card.name} on {run.runner['name']}"]

    def study(self, row: StudyScore, images: Sequence[InstanceScore]) -> None:
        self._lines.append(f"row {row.row_key} {row.score} of {len(images)}")
        self._lines.extend(f"image {image.probability}" for image in images)

    def skip(self, skip: Skipped) -> None:
        self._lines.append(f"skip {skip.source.path}")

    def missing(self, study: MissingStudy) -> None:
        self._lines.append(f"missing {study.key}")

    def finish(self, end: RunEnd) -> None:
        self._lines.append(f"found {end.counts['found']}")
        (self._run.folder / "toy.txt").write_text("\n".join(self._lines))


@contextmanager
def open_toy(run: RunInfo) -> Iterator[Toy]:
    yield Toy(run)


@contextmanager
def open_broken(run: RunInfo) -> Iterator[Toy]:
    class Broken(Toy):
        def finish(self, end: RunEnd) -> None:
            raise OutputError("the toy is broken")

    yield Broken(run)


@pytest.fixture(scope="module")
def out(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a run with every format and a new one."""
    folder = tmp_path_factory.mktemp("toy") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMATS, "toy", open_toy)
        done = score(studies, folder, "--format", "csv,jsonl,toy", "--truth", str(studies / "truth.csv"))
        assert done.exception is None, done.output
    return folder


def score(studies: Path, out: Path, *words: str) -> Any:
    command = ["score", str(studies), "--out", str(out), "--settle", "0", "--workers", "1", *words]
    mask = os.umask(0o077)  # the command sets it for its process
    try:
        return CliRunner().invoke(cli, command, standalone_mode=False)
    finally:
        os.umask(mask)


def test_a_run_feeds_a_newly_registered_output(out: Path) -> None:
    manifest = json.loads((out / "latest" / "run.json").read_text())
    first, *lines, last = (out / "latest" / "toy.txt").read_text().splitlines()
    assert first == f"{manifest['run']} by {manifest['model']['name']} on openvino"
    assert last == f"found {manifest['counts']['found']}"
    rows = list(read_rows(out / "latest", "studies"))
    assert [line.split()[1] for line in lines if line.startswith("row ")] == [row["row_key"] for row in rows]
    assert [line.split()[-1] for line in lines if line.startswith("row ")] == [row["scored"] for row in rows]
    assert sum(line.startswith("image ") for line in lines) == manifest["counts"]["scored"] > 0
    assert sum(line.startswith("skip ") for line in lines) == manifest["counts"]["skipped"] > 0


def test_an_output_that_fails_leaves_no_run_behind(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "broken", open_broken)
    done = score(studies, tmp_path / "out", "--format", "csv,broken")
    assert isinstance(done.exception, OutputError)
    assert not (tmp_path / "out" / "latest").exists()
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("table", TABLES)
def test_both_formats_hold_the_same_rows(out: Path, table: str, tmp_path: Path) -> None:
    shutil.copy(out / "latest" / f"{table}.jsonl", tmp_path)
    assert list(read_rows(tmp_path, table)) == list(read_rows(out / "latest", table))


def test_each_image_names_a_row_of_studies(out: Path) -> None:
    rows = {row["row_key"]: row for row in read_rows(out / "latest", "studies")}
    images = list(read_rows(out / "latest", "images"))
    for key, row in rows.items():
        scores = [float(image["probability"]) for image in images if image["row_key"] == key]
        assert len(scores) == int(row["scored"])
        if scores:
            assert float(row["score"]) == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    assert {image["row_key"] for image in images} <= rows.keys()


@pytest.mark.parametrize("kept", ["csv", "jsonl"])
def test_a_report_rendered_again_from_tables_is_the_same(out: Path, studies: Path, tmp_path: Path, kept: str) -> None:
    from mura_batch.agreement.truth_csv import read_truth
    from mura_batch.agreement.truth_file import Truth

    shutil.copytree(out, tmp_path / "out", symlinks=True)
    run = tmp_path / "out" / "latest"
    for other in {"csv", "jsonl"} - {kept}:
        for table in TABLES:
            (run / f"{table}.{other}").unlink()
    before = (run / "report.html").read_bytes()
    assert render_report_file(run, Truth((read_truth(studies / "truth.csv"),))).read_bytes() == before


def test_a_night_without_news_imports_no_pandas(studies: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "out", symlinks=True)
    command = ["score", str(studies), "--out", str(tmp_path / "out"), "--settle", "0"]
    script = (
        "import sys\n"
        "from mura_batch.cli import cli\n"
        f"code = cli.main({command!r}, standalone_mode=False)\n"
        "print(int(code), 'pandas' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["0", "False"]


def test_json_lines_hold_typed_values_and_text_as_it_is(
    tmp_path: Path, run_info: RunInfoMaker, study: Callable[..., StudyScore], image: Callable[..., InstanceScore]
) -> None:
    with JsonlTables(run_info(tmp_path)) as tables:
        tables.study(study(accession="=1+1", score=2 / 3, abnormal=True), [image("a/\udcff.dcm", reused=True)])
        tables.study(study(study_uid="1.2.4", accession="", score=None, abnormal=None), [])
    first, second = (json.loads(line) for line in (tmp_path / "studies.jsonl").read_text().splitlines())
    assert (first["accession"], first["score"], first["abnormal"], first["scored"]) == ("=1+1", 0.666666667, True, 1)
    assert (second["accession"], second["score"], second["abnormal"]) == (None, None, None)
    (line,) = (tmp_path / "images.jsonl").read_text().splitlines()
    assert json.loads(line)["file"] == "a/\udcff.dcm"
    assert json.loads(line)["reused"] is True


@pytest.mark.parametrize("tables", [CsvTables, JsonlTables])
def test_a_run_that_fails_leaves_no_table(tmp_path: Path, run_info: RunInfoMaker, tables: Any) -> None:
    with pytest.raises(ValueError, match="the ledger is gone"), tables(run_info(tmp_path)):
        raise ValueError("the ledger is gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"file": 1}', "\n", "\xff"])
def test_an_error_names_the_file_of_hand_edited_json_lines(tmp_path: Path, text: str) -> None:
    from mura_batch.errors import InputError

    (tmp_path / "skipped.jsonl").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"skipped\.jsonl"):
        list(read_rows(tmp_path, "skipped"))
