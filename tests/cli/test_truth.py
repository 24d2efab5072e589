"""`mura-batch truth`, and the reports that use what it added."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mura_batch.cli import cli
from mura_batch.errors import InputError, LockHeldError, TruthError
from mura_batch.store.lock import locked


def run(*words: object) -> Result:
    done = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "studies"
    run("phantom", folder, "--studies", 3, "--small")
    return folder


@pytest.fixture(scope="module")
def scored(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of one run without truth."""
    out = tmp_path_factory.mktemp("scored") / "out"
    run("score", studies, "--out", out, "--settle", 0, "--workers", 1)
    return out


@pytest.fixture
def out(scored: Path, tmp_path: Path) -> Path:
    shutil.copytree(scored, tmp_path / "out", symlinks=True)
    return tmp_path / "out"


@pytest.fixture
def calls(out: Path) -> dict[str, int]:
    """Study UID -> call, of the scored studies."""
    with (out / "latest/studies.csv").open(newline="", encoding="utf-8") as file:
        return {row["study_uid"]: int(row["abnormal"]) for row in csv.DictReader(file) if row["score"]}


def labels(path: Path, of: dict[str, Any]) -> Path:
    path.write_text("study_uid,label\n" + "".join(f"{uid},{label}\n" for uid, label in of.items()), encoding="utf-8")
    return path


def agreement(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "latest/agreement.json").read_text(encoding="utf-8"))
    return found


def test_truth_that_was_added_is_in_every_later_report(
    out: Path, studies: Path, calls: dict[str, int], tmp_path: Path
) -> None:
    path = labels(tmp_path / "first.csv", calls)
    run("truth", "add", path, "--out", out)
    path.unlink()
    run("report", out / "latest")
    rendered = agreement(out)
    assert rendered["counts"]["compared"] == len(calls)
    assert rendered["truth"][0]["sha256"] == hashlib.sha256(labels(path, calls).read_bytes()).hexdigest()
    run("score", studies, "--out", out, "--settle", 0, "--workers", 1)
    assert agreement(out) == rendered
    assert json.loads((out / "latest/run.json").read_text())["agreement"]["truth"] == rendered["truth"]


def test_truth_of_other_nights_leaves_a_night_without_agreement(out: Path, studies: Path, tmp_path: Path) -> None:
    run("truth", "add", labels(tmp_path / "other.csv", {"9.9": 1}), "--out", out)
    done = run("score", studies, "--out", out, "--settle", 0, "--workers", 1)
    assert not (out / "latest/agreement.json").exists()
    assert "names no study" not in done.stderr


def test_with_keys_only_the_truth_of_a_run_names_no_study(
    out: Path, studies: Path, calls: dict[str, int], tmp_path: Path
) -> None:
    path = labels(tmp_path / "first.csv", calls)
    run("truth", "add", path, "--out", out)
    run("score", studies, "--out", out, "--settle", 0, "--workers", 1, "--identifiers", "key")
    before = agreement(out)
    assert before["counts"]["compared"] == len(calls)
    run("report", out / "latest")
    assert agreement(out) == before
    texts = [file.read_text(encoding="utf-8") for file in (out / "latest").iterdir() if file.suffix != ".pack"]
    assert not any(name in text for text in texts for name in (*calls, str(path)))


def test_a_given_file_is_the_only_truth_of_its_run(out: Path, calls: dict[str, int], tmp_path: Path) -> None:
    run("truth", "add", labels(tmp_path / "stored.csv", calls), "--out", out)
    given = labels(tmp_path / "given.csv", {uid: 1 - call for uid, call in calls.items()})
    run("report", out / "latest", "--truth", given)
    for _ in range(2):
        assert [one["file"] for one in agreement(out)["truth"]] == [str(given)]
        assert agreement(out)["figures"]["overall"]["accuracy"]["value"] == 0
        run("report", out / "latest")


def test_two_files_that_contradict_are_named_with_both_lines(out: Path, calls: dict[str, int], tmp_path: Path) -> None:
    first = labels(tmp_path / "first.csv", calls)
    second = labels(tmp_path / "second.csv", {uid: 1 - call for uid, call in list(calls.items())[:1]})
    for path in (first, second):
        run("truth", "add", path, "--out", out)
    run("report", out / "latest")
    (found,) = agreement(out)["contradictory"]
    assert found["lines"] == [
        f"{first}, line 2: {calls[found['study']]}",
        f"{second}, line 2: {1 - calls[found['study']]}",
    ]
    assert agreement(out)["counts"]["compared"] == len(calls) - 1
    page = (out / "latest/report.html").read_text(encoding="utf-8")
    assert str(second) in page
    assert "contradictory labels" in page


def test_a_removed_file_is_gone_from_the_next_report(out: Path, calls: dict[str, int], tmp_path: Path) -> None:
    half = dict(list(calls.items())[:1])
    run("truth", "add", labels(tmp_path / "a.csv", half), "--out", out)
    run("truth", "add", labels(tmp_path / "b.csv", calls), "--out", out)
    run("truth", "remove", 2, "--out", out)
    run("report", out / "latest")
    assert agreement(out)["counts"]["compared"] == 1
    listed = json.loads(run("truth", "list", "--out", out, "--json").stdout)
    assert [(one["number"], one["labels"], bool(one["removed"])) for one in listed] == [
        (1, 1, False),
        (2, len(calls), True),
    ]
    assert "b.csv, removed 20" in run("truth", "list", "--out", out).stdout
    with pytest.raises(InputError, match="no truth file 2 is in use; in use are: 1"):
        run("truth", "remove", 2, "--out", out)


def test_a_report_keeps_its_truth_when_the_store_is_empty(out: Path, calls: dict[str, int], tmp_path: Path) -> None:
    run("truth", "add", labels(tmp_path / "a.csv", calls), "--out", out)
    run("report", out / "latest")
    before = agreement(out)
    run("truth", "remove", 1, "--out", out)
    run("report", out / "latest")
    assert agreement(out) == before


def test_adding_a_file_twice_changes_nothing(out: Path, calls: dict[str, int], tmp_path: Path) -> None:
    path = labels(tmp_path / "a.csv", calls)
    assert "; added" in run("truth", "add", path, "--out", out).stderr
    assert "nothing to do, it was added 20" in run("truth", "add", path, "--out", out).stderr


def test_what_cannot_be_added_says_why(out: Path, tmp_path: Path) -> None:
    empty = labels(tmp_path / "empty.csv", {"1.2": "pending"})
    with pytest.raises(TruthError, match=r"empty.csv holds no label \(1 pending\)"):
        run("truth", "add", empty, "--out", out)
    path = labels(tmp_path / "a.csv", {"1.2": 1})
    with pytest.raises(InputError, match="is not an output folder"):
        run("truth", "add", path, "--out", tmp_path / "nowhere")
    with pytest.raises(TruthError, match="Name the reader with --reader"):
        run("truth", "add", path, "--kind", "reader", "--out", out)
    with locked(out):
        assert run("truth", "list", "--out", out, "--json").stdout == "[]\n"
        with pytest.raises(LockHeldError, match="wait for it"):
            run("truth", "add", path, "--out", out)


def test_a_truth_without_a_study_of_tonight_warns_and_scores(studies: Path, out: Path, tmp_path: Path) -> None:
    other = labels(tmp_path / "other.csv", {"9.9": 1, "9.8": "pending"})
    done = run("score", studies, "--out", out, "--settle", 0, "--workers", 1, "--truth", other)
    assert done.return_value == 0
    assert f"mura-batch: {other} names no study of this run: nothing was compared" in done.stderr
    counts = agreement(out)["counts"]
    assert (counts["lines"], counts["not_in_this_run"], counts["compared"]) == (2, 2, 0)
    page = (out / "latest/report.html").read_text(encoding="utf-8")
    assert "The truth names no study of this run" in page
    assert f"{other}, line 2: 9.9" in page
    with pytest.raises(TruthError, match="names no study of this run"):
        run("report", out / "latest", "--truth", other)
