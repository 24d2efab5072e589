"""Nights without news: complete folders that take almost no space, with a page that links to the last report."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import mura_batch

NOT_SHARED = {"run.json", "report.html"}


def nights(out: Path) -> list[Path]:
    return sorted((out / "runs").iterdir())


def manifest(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return values


def kilobytes(out: Path) -> int:
    """As a person measures it; a file with several names counts once."""
    return int(subprocess.run(["du", "-sk", out], capture_output=True, text=True, check=True).stdout.split()[0])


def score_again(four_nights: tuple[Path, Path], out: Path, *words: object) -> Path:
    studies = four_nights[0]
    options = ("--settle", 0, "--truth", studies / "truth.csv", "--format", "csv,jsonl", *words)
    done = mura_batch("score", studies, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return nights(out)[-1]


def test_a_night_without_news_adds_at_most_20_kilobytes(four_nights: tuple[Path, Path], out: Path) -> None:
    before = kilobytes(out)
    score_again(four_nights, out)
    assert kilobytes(out) - before <= 20


def test_its_files_are_complete_and_links_to_those_before(out: Path) -> None:
    _, _, third, fourth = nights(out)
    names = {path.name for path in fourth.iterdir()}
    assert {"studies.csv", "images.jsonl", "skipped.csv", "missing.csv", "agreement.json", "drift.json"} <= names
    for name in names - NOT_SHARED:
        assert (third / name).samefile(fourth / name), name
        assert hashlib.sha256((fourth / name).read_bytes()).hexdigest() == manifest(fourth)["files"][name]


def test_its_page_is_small_and_links_to_the_last_report(out: Path) -> None:
    first, *quiet = nights(out)
    for run in quiet:
        assert manifest(run)["report_of"] == first.name
        page = (run / "report.html").read_text(encoding="utf-8")
        assert len(page.encode()) < 5000
        (target,) = re.findall(r'href="(\.\./[^"]+/report\.html)"', page)
        assert (run / target).resolve() == first / "report.html"
    assert manifest(first)["report_of"] == ""
    assert len((first / "report.html").read_bytes()) > 20_000


def test_a_report_of_its_own_changes_no_other_night(out: Path, tmp_path: Path) -> None:
    *_, third, fourth = nights(out)
    before = {path: path.read_bytes() for path in third.iterdir()}
    other = tmp_path / "truth.csv"
    table = (third / "studies.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    other.write_text(f"study_uid,label\n{table[1]},0\n")
    done = mura_batch("report", fourth, "--truth", other)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in third.iterdir()} == before
    assert not (third / "agreement.json").samefile(fourth / "agreement.json")
    assert (third / "studies.csv").samefile(fourth / "studies.csv")
    assert "Nothing new" not in (fourth / "report.html").read_text(encoding="utf-8")
    assert manifest(fourth)["report_of"] == ""
    assert manifest(fourth)["files"]["agreement.json"] != manifest(third)["files"]["agreement.json"]


@pytest.mark.parametrize("option", [("--viewer-url", "https://viewer.example/{study_uid}"), ("--voi", "window")])
def test_another_option_makes_a_report_of_its_own(
    four_nights: tuple[Path, Path], out: Path, option: tuple[str, str]
) -> None:
    assert manifest(score_again(four_nights, out, *option))["report_of"] == ""


def test_a_quiet_night_after_its_report_was_removed_has_its_own(four_nights: tuple[Path, Path], out: Path) -> None:
    shutil.rmtree(nights(out)[0])
    assert manifest(score_again(four_nights, out))["report_of"] == ""


def test_an_edited_file_is_not_linked_to(four_nights: tuple[Path, Path], out: Path) -> None:
    *_, last = nights(out)
    edited = (last / "studies.csv").read_bytes() + b"\r\n"
    (last / "studies.csv").unlink()
    (last / "studies.csv").write_bytes(edited)
    again = score_again(four_nights, out)
    assert (again / "studies.csv").read_bytes() == edited[:-2]
    assert (again / "images.csv").samefile(last / "images.csv")


def test_without_hard_links_the_files_are_copies(
    preloaded: Callable[..., dict[str, str]], four_nights: tuple[Path, Path], out: Path
) -> None:
    last = nights(out)[-1]
    words = ("--settle", "0", "--truth", four_nights[0] / "truth.csv", "--format", "csv,jsonl")
    command = [sys.executable, "-m", "mura_batch", "score", four_nights[0], "--out", out, *words]
    done = subprocess.run(
        command, env=preloaded("nohardlink"), capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    again = nights(out)[-1]
    assert again != last
    for name in {path.name for path in last.iterdir()} - NOT_SHARED:
        assert (again / name).read_bytes() == (last / name).read_bytes()
        assert not (again / name).samefile(last / name)
    assert not list(again.glob(".*"))
