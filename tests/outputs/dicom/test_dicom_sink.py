"""`score --dicom` and `mura-batch dicom`: real runs over drawn studies."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread

from mura_batch.cli import cli
from mura_batch.cli.options import reference_model
from mura_batch.dicom.discover import discover
from mura_batch.dicom.header.reader import read_header
from mura_batch.dicom.policy import IntakePolicy
from mura_batch.phantom import PhantomOptions, make_phantoms
from mura_batch.records import Reason, Skipped


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert done.return_value == code, done.stderr
    return done


def score(studies: Path, out: Path, *more: str, code: int = 0) -> Path:
    run("score", str(studies), "--out", str(out), "--settle", "0", "--device", "cpu", *more, code=code)
    return out / "latest" / "dicom"


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(studies, out) of a run with all objects. One of the studies was not scored."""
    root = tmp_path_factory.mktemp("dicom")
    make_phantoms(root / "studies", PhantomOptions(studies=5, small=True))
    score(root / "studies", root / "out", "--dicom", "sr,gsps,sc", "--dicom-unscored", code=3)
    return root / "studies", root / "out"


@pytest.fixture
def copy(scored: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same, to be changed. The studies are copied with their times."""
    studies, out = scored
    shutil.copytree(studies, tmp_path / "studies", copy_function=shutil.copy2)
    shutil.copytree(out, tmp_path / "out", symlinks=True)
    manifest = (out / "latest").resolve().name
    path = tmp_path / "out" / "runs" / manifest / "run.json"
    path.write_text(path.read_text().replace(str(studies), str(tmp_path / "studies")))
    return tmp_path / "studies", tmp_path / "out"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "objects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_scored_image_and_study_has_its_objects(scored: tuple[Path, Path]) -> None:
    folder = scored[1] / "latest" / "dicom"
    rows = table(folder)
    with (scored[1] / "latest" / "images.csv").open(newline="") as file:
        images = len(list(csv.DictReader(file)))
    with (scored[1] / "latest" / "studies.csv").open(newline="") as file:
        studies = list(csv.DictReader(file))
    kinds = [row["kind"] for row in rows]
    assert kinds.count("sc") == kinds.count("gsps") == images
    assert kinds.count("sr") == len(studies)
    assert {row["status"] for row in rows} == {"written"}
    assert {path.name for path in folder.glob("*.dcm")} == {row["file"] for row in rows}


def test_the_report_says_what_the_table_says(scored: tuple[Path, Path]) -> None:
    with (scored[1] / "latest" / "studies.csv").open(newline="") as file:
        scores = {row["row_key"]: row["score"] for row in csv.DictReader(file)}
    for row in table(scored[1] / "latest" / "dicom"):
        if row["kind"] != "sr":
            continue
        content = dcmread(scored[1] / "latest" / "dicom" / row["file"]).ContentSequence[-1].ContentSequence[0]
        numbers = [item.MeasuredValueSequence[0] for item in content.ContentSequence if item.ValueType == "NUM"]
        values = [f"{number.get('FloatingPointValue', number.NumericValue):.9g}" for number in numbers]
        assert values == ([scores[row["row_key"]]] if scores[row["row_key"]] else [])


def test_a_past_run_gives_the_same_bytes(scored: tuple[Path, Path]) -> None:
    folder = scored[1] / "latest" / "dicom"
    before = contents(folder)
    run("dicom", str(scored[1] / "latest"), "--dicom-unscored")
    assert contents(folder) == before


def test_a_run_without_news_gives_the_same_bytes(copy: tuple[Path, Path]) -> None:
    studies, out = copy
    before = contents(out / "latest" / "dicom")
    first = (out / "latest").resolve()
    again = score(studies, out, "--dicom", "sr,gsps,sc", "--dicom-unscored")
    assert again.resolve().parent != first
    after = contents(again)
    assert after.keys() == before.keys()
    assert after == before


def test_by_default_no_objects_are_written(copy: tuple[Path, Path]) -> None:
    assert not score(*copy).exists()


def test_a_source_that_has_gone_is_known_by_the_ledger(copy: tuple[Path, Path]) -> None:
    studies, out = copy
    folder = out / "latest" / "dicom"
    with (out / "latest" / "images.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    many = next(row for row in images if sum(other["row_key"] == row["row_key"] for other in images) > 1)
    (studies / many["file"]).unlink()
    done = run("dicom", str(out / "latest"), code=3)
    assert "1 objects not written: source_missing" in done.stderr
    rows = [row for row in table(folder) if row["row_key"] == many["row_key"]]
    assert [row["kind"] for row in rows if row["status"] != "written"] == ["gsps"]
    report = dcmread(folder / next(row["file"] for row in rows if row["kind"] == "sr"))
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    named = {item.ReferencedSOPInstanceUID for part in series for item in part.ReferencedSOPSequence}
    assert many["sop_instance_uid"] in named
    assert "source_missing" in next(row["notes"] for row in rows if row["kind"] == "sr")


def test_a_study_whose_sources_have_all_gone_is_listed(copy: tuple[Path, Path]) -> None:
    studies, out = copy
    shutil.rmtree(studies)
    run("dicom", str(out / "latest"), "--dicom", "sr", code=3)
    assert {(row["status"], row["reason"]) for row in table(out / "latest" / "dicom")} == {
        ("not_written", "source_missing")
    }


def test_a_source_with_other_content_is_not_used(copy: tuple[Path, Path]) -> None:
    studies, out = copy
    with (out / "latest" / "images.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    single = next(row for row in images if sum(other["row_key"] == row["row_key"] for other in images) == 1)
    path = studies / single["file"]
    path.write_bytes(path.read_bytes() + b"\0\0")
    run("dicom", str(out / "latest"), "--dicom", "sr", code=3)
    rows = [row for row in table(out / "latest" / "dicom") if row["row_key"] == single["row_key"]]
    assert [(row["status"], row["reason"]) for row in rows] == [("not_written", "source_changed")]


def test_a_missing_picture_costs_the_capture_alone(copy: tuple[Path, Path]) -> None:
    _, out = copy
    shutil.rmtree(out / "pictures")
    run("dicom", str(out / "latest"), code=3)
    rows = table(out / "latest" / "dicom")
    assert {row["reason"] for row in rows if row["kind"] == "sc"} == {"picture_missing"}
    assert {row["status"] for row in rows if row["kind"] != "sc"} == {"written"}


def test_an_unscored_study_has_a_report_of_its_status(scored: tuple[Path, Path]) -> None:
    with (scored[1] / "latest" / "studies.csv").open(newline="") as file:
        unscored = {row["row_key"] for row in csv.DictReader(file) if not row["score"]}
    assert unscored
    rows = [row for row in table(scored[1] / "latest" / "dicom") if row["row_key"] in unscored]
    assert [row["kind"] for row in rows] == ["sr"] * len(unscored)


def test_a_score_by_another_model_follows_the_first(copy: tuple[Path, Path], tmp_path: Path) -> None:
    studies, out = copy
    first = {row["row_key"]: row for row in table(out / "latest" / "dicom") if row["kind"] == "sr"}
    other = ("--model", str(_other_model(tmp_path / "model")))
    assert table(score(studies, out, "--dicom", "sr", *other)) == []  # kept scores have the objects of their own run
    folder = score(studies, out, "--dicom", "sr", *other, "--rescore", "all")
    rows = table(folder)
    assert rows
    before = contents(folder)
    for row in rows:
        report = dcmread(folder / row["file"])
        (study,) = report.PredecessorDocumentsSequence
        former = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert former == first[row["row_key"]]["sop_instance_uid"]
        assert row["series_instance_uid"] != first[row["row_key"]]["series_instance_uid"]
    run("dicom", str(out / "latest"), "--dicom", "sr")
    assert contents(folder) == before


def _other_model(folder: Path) -> Path:
    """The same network under another name, and so with another hash."""
    import onnx

    shutil.copytree(reference_model(), folder)
    network = onnx.load(folder / "model.onnx")
    network.producer_name = "another"
    onnx.save(network, folder / "model.onnx")
    card = json.loads((folder / "model.json").read_text())
    card["name"] = "other"
    card["hashes"]["model.onnx"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def test_intake_skips_the_objects_that_it_wrote(scored: tuple[Path, Path]) -> None:
    policy = IntakePolicy(settle_seconds=0)
    root = (scored[1] / "latest" / "dicom").resolve()
    reasons = set()
    for found in discover(root, policy):
        record = found if isinstance(found, Skipped) else read_header(root, found, policy)
        assert isinstance(record, Skipped)
        reasons.add(record.reason)
    assert reasons == {Reason.NOT_AN_IMAGE, Reason.NOT_A_RADIOGRAPH, Reason.NOT_DICOM}  # not_dicom: objects.csv
